import { errnos } from '../../proto/errno.ts'
import type { ClientFrame, Heartbeat, Hello, Hold, Request, ServerFrame } from '../../proto/generated/file-service.ts'
import type { SessionAlive } from '../../proto/generated/peer-service.ts'
import type { NodeId } from '../../proto/ids.ts'
import { routeOf } from '../../proto/route.ts'
import { origin } from '../../replication/entry.ts'
import type { CutOff } from '../partition.ts'
import { sessionCounter, sessionKey } from '../store/keys.ts'
import { decodeCounter } from '../store/records.ts'
import type { Attachments } from './attachments.ts'
import type { Changes } from './changes.ts'
import { type Answer, type FileCall, type ReplicaPort, type StatePort, slotsMax, type Wanted } from './ports.ts'
import { responseOf, seenOf } from './positions.ts'
import type { Reads } from './reads.ts'
import { StreamLeases } from './stream-leases.ts'
import type { VolumeLeases } from './volume-leases.ts'

/** The way back to one client. */
export interface ClientStream {
  send(frame: ServerFrame): void
  end(): void
}

export interface AttachmentPorts {
  readonly self: NodeId
  readonly replica: ReplicaPort
  readonly state: Pick<StatePort, 'committed'>
  readonly reads: Reads
  readonly changes: Changes
  readonly attachments: Attachments
  readonly leases: VolumeLeases
  readonly changed: () => Promise<void>
  readonly cutOff: () => CutOff
}

export const cutOffText = (cutOff: CutOff): string => (cutOff === 'no' ? '' : cutOff)

/** How often a client is to say that it lives, and hears that its provider does. */
export const heartbeatMs = 150

/** A driver has far fewer requests under way; a client that sends more without reading answers is cut off. */
const requestsMax = 4096

/** How many ticks a provider that is behind waits to hear of a session that it does not know. */
const unknownTicks = 60

/** One client's stream at its provider: a session, as long as the stream lives. */
export class Attachment {
  readonly #ports: AttachmentPorts
  readonly #stream: ClientStream
  readonly #underWay = new Map<number, Wanted>()
  readonly #greeting: Wanted = { closed: false, cancelled: false }
  #session: bigint | undefined
  /** The session that the client says it goes on with. */
  #resuming: bigint | undefined
  #greeted = false
  readonly #leases: StreamLeases
  /** Frames that came on this stream. */
  readonly counts = { requests: 0, heartbeats: 0 }
  /** The last round of orphans that the client answered, what it was asked, and what it has open of that. */
  #round = 0n
  #asked: { readonly round: bigint; readonly orphans: ReadonlySet<bigint> } = { round: 0n, orphans: new Set() }
  #open: ReadonlySet<bigint> = new Set()

  constructor(ports: AttachmentPorts, stream: ClientStream) {
    this.#ports = ports
    this.#stream = stream
    this.#leases = new StreamLeases(ports.leases, (frame) => stream.send(frame))
  }

  get requests(): number {
    return this.#underWay.size
  }

  get session(): bigint | undefined {
    return this.#session
  }

  /** Leases that the client has of this member. */
  get leases(): number {
    return this.#leases.count
  }

  onFrame({ kind }: ClientFrame): void {
    if (this.#greeting.closed) return
    this.#ports.attachments.heard(this)
    switch (kind?.$case) {
      case 'hello':
        if (this.#greeted) return this.close('a stream begins with one hello')
        this.#greeted = true
        return void this.#attach(kind.value)
      case 'request':
        if (this.#session === undefined) return this.close('a request before the welcome')
        if (this.#underWay.size >= requestsMax) return this.close('too many requests under way')
        this.counts.requests++
        return void this.#answer(this.#session, kind.value)
      case 'heartbeat':
        return this.#beat(kind.value)
      case 'cancel': {
        const wanted = this.#underWay.get(kind.value.id)
        if (wanted !== undefined) wanted.cancelled = true
        return
      }
      case 'endSession':
        if (this.#session === undefined) return this.close('an end before the welcome')
        return void this.#end(this.#session)
      case 'recalled':
        return this.#leases.onRecalled(kind.value.number)
      case undefined:
        return this.close('a frame of no known kind')
    }
  }

  /** The stream is gone. What is under way may still happen; nobody waits for it here. */
  onClosed(): void {
    this.#greeting.closed = true
    for (const wanted of this.#underWay.values()) wanted.closed = true
    this.#leases.end()
    this.#ports.attachments.remove(this)
  }

  /** Sends the client elsewhere; `ended`: with a new session. */
  close(reason: string, ended = false): void {
    if (this.#greeting.closed) return
    this.#stream.send({ kind: { $case: 'goodbye', value: { reason, ended } } })
    this.#stream.end()
    this.onClosed()
  }

  /** For the primary: that the session lives, and what it said of orphans. */
  alive(): SessionAlive | undefined {
    const session = this.#session ?? this.#resuming
    if (session === undefined) return undefined
    return { session, round: this.#round, openOrphans: [...this.#open], attach: this.#leases.attach }
  }

  /** Somebody waits for a hold of the session's. */
  recallHold(hold: Hold): void {
    if (this.#session !== undefined) this.#stream.send({ kind: { $case: 'recallHold', value: { hold } } })
  }

  async #attach(hello: Hello): Promise<void> {
    const { attachments, changes, replica, self } = this.#ports
    const { role } = replica.status()
    if ((role === 'none' || role === 'resyncing') && this.#ports.cutOff() === 'no')
      return this.close(`${self} is not in sync`)
    this.#leases.greeted(hello)
    if (hello.session !== 0n) this.#resuming = hello.session
    // Whoever waits for what the session may have kept elsewhere hears of it before all else: it keeps nothing any more.
    if (hello.session !== 0n) attachments.changed()
    const session = hello.session === 0n ? await changes.open(hello, this.#greeting) : await this.#resume(hello.session)
    if (session === undefined || this.#greeting.closed) return
    if (session === 'refused') return this.close('there are too many sessions')
    if (session === 'ended') return this.close('the session has ended', true)
    this.#session = session
    if (!this.#leases.begin(session)) return this.close('the session has a later stream')
    attachments.add(session, this)
    if (hello.session === 0n) attachments.changed()
    const primary = replica.primary() ?? ''
    const cutOff = cutOffText(this.#ports.cutOff())
    this.#stream.send({
      kind: {
        $case: 'welcome',
        value: { session, provider: self, slots: slotsMax, heartbeatMs, primary, cutOff },
      },
    })
  }

  async #end(session: bigint): Promise<void> {
    if (await this.#ports.changes.end(session, this.#greeting)) this.close('the session has ended', true)
  }

  /** Record and counter were put by one entry: a number below the counter without a record is one that has ended (R31). */
  async #resume(session: bigint): Promise<bigint | 'ended' | undefined> {
    const { changed, replica, state } = this.#ports
    for (let tick = 0; tick < unknownTicks && !this.#greeting.closed; tick++) {
      const cutOff = this.#ports.cutOff() !== 'no'
      if ((replica.mayRead() || cutOff) && state.committed.get(sessionKey(session)) !== undefined) return session
      if (replica.mayRead()) {
        const counter = state.committed.get(sessionCounter)
        if (counter !== undefined && session < decodeCounter(counter).next) return 'ended'
      }
      await changed()
    }
    if (!replica.mayRead()) this.close('this provider does not serve at present')
    return this.#greeting.closed ? undefined : 'ended'
  }

  async #answer(session: bigint, request: Request): Promise<void> {
    const { id, caller, operation } = request
    const wanted: Wanted = { closed: false, cancelled: false }
    if (this.#underWay.has(id)) return this.close('one id for two requests')
    this.#underWay.set(id, wanted)
    const call = operation?.kind
    const answer =
      call === undefined || caller === undefined
        ? failure('EINVAL')
        : await this.#execute({ ...request, session, caller, call }, wanted)
    this.#underWay.delete(id)
    if (answer === undefined || wanted.closed) return
    if (answer.kind === 'ended') return this.close('the session has ended', true)
    const leased = call === undefined ? [] : this.#leases.granted(call, answer)
    this.#stream.send({ kind: { $case: 'response', value: { ...responseOf(id, answer), leased } } })
  }

  async #execute(asked: Asked, wanted: Wanted): Promise<Answer | undefined> {
    const { changes, reads } = this.#ports
    const { session, slot, caller, call } = asked
    if (asked.seen > maxPosition || asked.seenEpoch > maxPosition) return failure('EINVAL')
    const seen = seenOf(asked)
    const route = routeOf(call)
    if (route === 'read') return this.#checked(call, await reads.answer(caller, call, { seen, session, wanted }))
    if (route === 'change' && asked.seq === 0n) return failure('EINVAL')
    this.#leases.asks(session, asked)
    const answer = await changes.submit({ session, slot, seq: asked.seq, caller, operation: call }, { seen, wanted })
    this.#leases.isAnswered(session, asked)
    return answer === 'untouched' ? failure('EINTR') : answer
  }

  /** Who has said that it does not have an orphan open can't open it any more: it may be gone in a moment (S27). */
  #checked(call: FileCall, answer: Answer): Answer {
    if (call.$case !== 'open' || answer.kind !== 'done' || answer.reply?.$case !== 'attributes') return answer
    const { ino } = call.value
    const disowned = this.#round === this.#asked.round && this.#asked.orphans.has(ino) && !this.#open.has(ino)
    return answer.reply.value.nlink === 0 && disowned ? failure('ESTALE') : answer
  }

  #beat({ round, openOrphans, dropped }: Heartbeat): void {
    const { attachments } = this.#ports
    this.counts.heartbeats++
    if (round > 0n && round === this.#asked.round) {
      this.#open = new Set(openOrphans)
      if (round !== this.#round) attachments.changed()
      this.#round = round
    }
    const present = attachments.orphanRound
    if (present.round > this.#asked.round) this.#asked = { round: present.round, orphans: new Set(present.orphans) }
    const news = this.#asked.round > round ? this.#asked : undefined
    const leaseMs = this.#leases.onHeartbeat(dropped)
    if (this.#leases.isWaiting) attachments.changed()
    const value = {
      round: news?.round ?? round,
      orphans: news === undefined ? [] : [...news.orphans],
      leaseMs,
      cutOff: cutOffText(this.#ports.cutOff()),
    }
    this.#stream.send({ kind: { $case: 'heartbeatReply', value } })
  }
}

interface Asked extends Request {
  readonly session: bigint
  readonly caller: NonNullable<Request['caller']>
  readonly call: FileCall
}

const maxPosition = BigInt(Number.MAX_SAFE_INTEGER)

const failure = (errno: 'EINVAL' | 'EINTR' | 'ESTALE'): Answer => ({
  kind: 'done',
  errno: errnos[errno],
  reply: undefined,
  position: origin,
})
