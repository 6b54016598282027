import type { Key, NodeId, Seq } from '../../proto/ids.ts'
import type { Entry, Position } from '../../replication/entry.ts'
import type { Host, ItemDigest, Self, VerifyAnswer } from '../../replication/ports.ts'
import type { Replica } from '../../replication/replica.ts'
import type { WorkItem } from '../../replication/work.ts'
import type { Effect } from '../../server/store/effect.ts'
import { encodeBody, text, untext } from './body.ts'
import { HoldService } from './hold-service.ts'
import { endHold, heldObjects, holdIn, holdKey, putHold, withNumber } from './holds.ts'
import { LeaseService } from './lease-service.ts'
import { execute, type Op, touchedBy } from './operations.ts'
import {
  type Answer,
  type Call,
  type Change,
  decodeReply,
  encodeReply,
  nextSessionKey,
  type ServerFrame,
  type ServerPorts,
  sessionKey,
  slotKey,
} from './session.ts'
import type { SimStorage } from './storage.ts'

type Reply = (answer: Answer) => void
export type Digests = ReadonlyMap<NodeId, ItemDigest>

interface Waiting {
  readonly deadline: number
  readonly reply: Reply
}

/** A read. `session`: whose, if it has leases. */
interface Asked {
  readonly op: Op
  readonly seen: Position
  readonly session: string | undefined
  readonly slow: boolean
}

interface Flush {
  readonly by: string
  readonly upTo: Seq
  reply: Reply
}

/** Somebody's change, in the journal and not committed: the label says whether what is committed is still that entry. */
interface Proposed {
  readonly epoch: number
  readonly replies: { readonly reply: Reply; readonly result: string }[]
}

const again: Answer = { kind: 'again' }
/** So long something may wait here before its client is sent elsewhere. */
const patienceMs = 400

/** A file server without files: sessions, exactly once, reads at any member, changes at the primary. */
export class ModelServer implements Host {
  readonly #ports: ServerPorts
  readonly #storage: SimStorage
  readonly #replica: () => Replica
  readonly #leases: LeaseService
  readonly #holds: HoldService
  #tickets = 0
  readonly #proposed = new Map<Seq, Proposed>()
  readonly #forwarded = new Map<number, Waiting>()
  /** Reads that wait until this member has applied so much. */
  #behind: (Waiting & { readonly until: Seq; readonly go: () => void })[] = []
  readonly #questions = new Map<number, Waiting & { readonly asked: Asked }>()
  readonly #flushes = new Map<number, Flush>()
  readonly #verifications = new Map<number, (digests: Digests | undefined) => void>()
  /** What a replica tells in the middle of its step is looked at after it. */
  #told: (() => void)[] = []

  constructor(ports: ServerPorts, storage: SimStorage, replica: () => Replica) {
    this.#ports = ports
    this.#storage = storage
    this.#replica = replica
    this.#leases = new LeaseService(ports, storage, replica)
    this.#holds = new HoldService(
      {
        now: () => ports.now(),
        ask: ({ session, number }, object) => this.#ask(session, object, number),
        propose: (body) => replica().mayChange() && replica().propose(body).outcome === 'proposed',
        afterwards: (act) => this.#told.push(act),
      },
      storage,
    )
  }

  /** How much is waiting for something here. */
  get waiting(): number {
    const tables = [this.#proposed, this.#forwarded, this.#questions, this.#flushes, this.#verifications]
    return tables.reduce((sum, table) => sum + table.size, this.#behind.length + this.#holds.waiting)
  }

  appended(entry: Entry): void {
    this.#leases.appended(entry)
  }
  cut(to: Seq): void {
    this.#leases.cut(to)
  }
  restarted(base: Seq): void {
    this.#leases.restarted(base)
  }
  recalled(): Seq {
    return this.#leases.leases.recalled
  }
  providers(): Iterable<Self> {
    return this.#leases.providers()
  }
  isKept(provider: Self): boolean {
    return this.#leases.isKept(provider)
  }
  committed(to: Seq): void {
    this.#told.push(() => this.#onCommitted(to))
  }
  roleChanged(): void {
    this.#told.push(() => this.#onRoleChanged())
  }
  commitAnswer(ticket: number, committed: Seq | undefined): void {
    this.#told.push(() => this.#onCommitAnswer(ticket, committed))
  }
  flushAnswer(ticket: number, outcome: 'flushed' | 'lost'): void {
    this.#told.push(() => this.#onFlushAnswer(ticket, outcome))
  }
  verifyAnswer(ticket: number, answer: VerifyAnswer): void {
    this.#told.push(() => {
      this.#verifications.get(ticket)?.(answer.outcome === 'digests' ? answer.digests : undefined)
      this.#verifications.delete(ticket)
    })
  }

  /** After each step of the replica. */
  settle(): void {
    while (this.#told.length > 0) {
      const told = this.#told
      this.#told = []
      for (const act of told) act()
    }
    this.#leases.leases.flush()
  }

  onTick(): void {
    this.#leases.onTick()
    this.#holds.onTick()
    const now = this.#ports.now()
    const late = this.#behind.filter((read) => read.deadline <= now)
    if (late.length > 0) this.#behind = this.#behind.filter((read) => read.deadline > now)
    for (const { reply } of late) reply(again)
    for (const table of [this.#forwarded, this.#questions]) {
      for (const [ticket, waiting] of table) {
        if (waiting.deadline > now) continue
        table.delete(ticket)
        waiting.reply(again)
      }
    }
  }

  onCall(call: Call, reply: Reply): void {
    if (call.kind === 'attach' || call.kind === 'beat' || call.kind === 'recalled') {
      return this.#leases.onCall(call, reply)
    }
    if (call.kind === 'read') {
      const { op, seen, stream } = call
      if (stream === undefined) return this.#read({ op, seen, session: undefined, slow: false }, reply)
      const back = this.#leases.replyOn(call, stream, reply)
      return back === undefined ? reply(again) : this.#read({ op, seen, session: stream.session, slow: true }, back)
    }
    if (call.kind !== 'change' || call.stream === undefined) return this.#submit(call, reply)
    const back = this.#leases.replyOn(call, call.stream, reply)
    if (back === undefined) reply(again)
    else this.#submit(call, back)
  }

  #submit(call: Change, reply: Reply): void {
    if (this.#replica().mayChange()) return this.#change(call, reply)
    const primary = this.#replica().primary()
    if (primary === undefined || primary === this.#ports.self) return reply(again)
    const ticket = this.#ticket()
    this.#forwarded.set(ticket, { deadline: this.#ports.now() + 3 * patienceMs, reply })
    this.#ports.sendToServer(primary, { frame: 'forward', asker: this.#ports.incarnation, ticket, call })
  }

  onFrame(from: NodeId, frame: ServerFrame): void {
    if (frame.frame === 'attached') return this.#leases.hear(frame.session, frame.place)
    if (frame.frame === 'wanted') return this.#leases.ask(frame.session, frame.object, frame.number)
    if (frame.frame === 'answer') {
      if (frame.asker !== this.#ports.incarnation) return
      this.#forwarded.get(frame.ticket)?.reply(frame.answer)
      this.#forwarded.delete(frame.ticket)
      return
    }
    const { asker, ticket, call } = frame
    const reply: Reply = (answer) => this.#ports.sendToServer(from, { frame: 'answer', asker, ticket, answer })
    if (this.#replica().mayChange()) this.#change(call, reply)
    else reply(again)
  }

  /** Only at the primary: compares an item on all members. `done` runs once; undefined: it could not be done. */
  verify(item: WorkItem, done: (digests: Digests | undefined) => void): void {
    const ticket = this.#ticket()
    this.#verifications.set(ticket, done)
    this.#replica().verify(ticket, item, { detail: true })
  }

  #change(call: Change, reply: Reply): void {
    switch (call.kind) {
      case 'open':
        return this.#open(call.nonce, reply)
      case 'close':
        return this.#close(call.session, reply)
      case 'flush':
        return this.#flush(call.by, reply)
      case 'change':
        return this.#execute(call, reply)
      case 'awaitRelease':
        return this.#awaitRelease(call.object, call.session, reply)
    }
  }

  /**
   * Names of sessions are never used again, so one that is not known has ended (R31). The number alone would not do:
   * when all hosts lose power it may go back.
   */
  #open(nonce: string, reply: Reply): void {
    const number = Number(this.#pendingText(nextSessionKey) || '1')
    const session = `${number}.${nonce}`
    this.#propose([put(nextSessionKey, String(number + 1)), put(sessionKey(session), 'open')], session, reply)
  }

  #close(session: string, reply: Reply): void {
    const { pending } = this.#storage
    if (!pending.keys.has(sessionKey(session) as Key)) return this.#tell({ kind: 'refused', why: 'ended' }, reply)
    const slots = [...pending.keys.keys()].filter((key) => key.startsWith(`${sessionKey(session)}/`))
    const effects = [sessionKey(session), ...slots].map((key): Effect => ({ kind: 'delete', key: key as Key }))
    this.#propose([...effects, ...heldObjects(pending, session).map(endHold)], 'ok', reply)
  }

  /** R29 to R31, S26. */
  #execute(call: Change & { readonly kind: 'change' }, reply: Reply): void {
    const { request, op, take, under } = call
    const { session } = request
    const { pending } = this.#storage
    if (isSpoilt(pending, op)) return reply(again)
    if (!pending.keys.has(sessionKey(request.session) as Key))
      return this.#tell({ kind: 'refused', why: 'ended' }, reply)
    const key = slotKey(request.session, request.slot)
    const last = decodeReply(this.#pendingText(key) || encodeReply(0, ''))
    if (request.seq === last.seq) return this.#repeat(key as Key, last.result, reply)
    if (request.seq !== last.seq + 1) return this.#tell({ kind: 'refused', why: 'misordered' }, reply)
    if (this.#holds.isHeldByOther(op.object, session)) {
      return this.#whenReleased(op.object, session, reply, () => this.#execute(call, reply))
    }
    const gone = under !== undefined && !this.#holds.stands(op.object, { session, number: under })
    const outcome = gone ? { effects: [], result: 'EIO' } : execute(pending, op)
    // Who has a lease on it lets go of it as of what is changed: so what changes nothing gives no hold.
    const changes = outcome.result === 'ok' && outcome.effects.length > 0
    const isGiven = take !== undefined && changes && this.#holds.mayTake(op.object)
    const result = isGiven ? withNumber(outcome.result, take) : outcome.result
    const given = isGiven ? [putHold(op.object, { session, number: take })] : []
    const effects = [...outcome.effects, ...given, put(key, encodeReply(request.seq, result))]
    this.#propose(effects, result, reply, gone || under === undefined ? undefined : op.object)
  }

  /** It has been executed: at once if that is committed, else together with the first. */
  #repeat(key: Key, result: string, reply: Reply): void {
    const at = this.#storage.dirtyKey(key)
    if (at === undefined) return this.#tell({ kind: 'done', result, at: this.#here() }, reply)
    this.#await(at, result, reply)
  }

  /** An answer that no entry stands behind is one from local state: a primary of the past has nothing to say (R13). */
  #tell(answer: Answer, reply: Reply): void {
    reply(this.#replica().mayRead() ? answer : again)
  }

  /** `under`: of what was held back, the object. */
  #propose(effects: readonly Effect[], result: string, reply: Reply, under?: string): void {
    const proposed = this.#replica().propose(encodeBody(effects))
    if (proposed.outcome !== 'proposed') return reply(again)
    this.#holds.proposed(effects, under)
    this.#await(proposed.seq, result, reply)
  }

  #await(at: Seq, result: string, reply: Reply): void {
    const epoch = this.#storage.markAt(at)?.epoch
    if (epoch === undefined) return reply(again)
    if (at <= this.#storage.applied) return reply({ kind: 'done', result, at: { epoch, seq: at } })
    const known = this.#proposed.get(at)
    if (known?.epoch === epoch) known.replies.push({ reply, result })
    else this.#proposed.set(at, { epoch, replies: [{ reply, result }] })
  }

  #flush(by: string, reply: Reply): void {
    const asked = [...this.#flushes.values()].find((flush) => flush.by === by)
    if (asked !== undefined) {
      asked.reply = reply
      return
    }
    const ticket = this.#ticket()
    this.#flushes.set(ticket, { by, reply, upTo: this.#storage.last.seq })
    this.#replica().flush(ticket)
  }

  /** R18 to R20. */
  #read(asked: Asked, reply: Reply): void {
    const { op, seen } = asked
    if (!this.#replica().mayRead()) return reply(again)
    const standing = this.#replica().standing(seen)
    if (standing === 'lost') return reply({ kind: 'lost', at: this.#here() })
    if (standing === 'ahead') return this.#whenApplied(seen.seq, reply, () => this.#read(asked, reply))
    if (this.#replica().role === 'primary' || !this.#isDirty(op)) return this.#answerRead(asked, reply)
    const ticket = this.#ticket()
    this.#questions.set(ticket, { deadline: this.#ports.now() + patienceMs, reply, asked })
    this.#replica().askCommit(ticket)
  }

  #isDirty(op: Op): boolean {
    const { keys, blob } = touchedBy(op.object)
    if (blob !== undefined && this.#storage.dirtyBlob(blob) !== undefined) return true
    return keys.some((key) => this.#storage.dirtyKey(key) !== undefined)
  }

  /** `slow`: it may have to wait for a disk, and much may happen meanwhile (R23). */
  #answerRead(asked: Asked, reply: Reply): void {
    const { op, session, slow } = asked
    const { state } = this.#storage
    if (!this.#replica().mayRead() || isSpoilt(state, op)) return reply(again)
    const hold = holdIn(state, op.object)
    if (hold !== undefined && hold.session !== session) return this.#readReleased(asked, reply)
    const answer: Answer = { kind: 'done', result: execute(state, op).result, at: this.#here() }
    if (!slow) return reply(answer)
    this.#ports.slowly(() => reply(this.#replica().mayRead() ? answer : again))
  }

  /** What others hold back is written first, and then the read begins anew (S1). */
  #readReleased(asked: Asked, reply: Reply): void {
    this.#submit({ kind: 'awaitRelease', object: asked.op.object, session: asked.session }, (answer) => {
      if (answer.kind !== 'done') return reply(again)
      this.#whenApplied(answer.at.seq, reply, () => this.#read(asked, reply))
    })
  }

  /** At the primary: when it is committed that nobody else has it. */
  #awaitRelease(object: string, session: string | undefined, reply: Reply): void {
    this.#whenReleased(object, session, reply, () => {
      const dirty = this.#storage.dirtyKey(holdKey(object))
      if (dirty === undefined) this.#tell({ kind: 'done', result: 'ok', at: this.#here() }, reply)
      else this.#await(dirty, 'ok', reply)
    })
  }

  #whenReleased(object: string, session: string | undefined, reply: Reply, go: () => void): void {
    this.#holds.whenReleased(object, session, (released) => {
      if (released && this.#replica().mayChange()) go()
      else reply(again)
    })
  }

  #ask(session: string, object: string, number: number): void {
    this.#leases.ask(session, object, number)
    for (const { node } of this.#replica().status().members) {
      if (node !== this.#ports.self) this.#ports.sendToServer(node, { frame: 'wanted', session, object, number })
    }
  }

  #here(): Position {
    return this.#replica().position(this.#storage.applied)
  }

  #whenApplied(until: Seq, reply: Reply, go: () => void): void {
    if (this.#storage.applied >= until) return go()
    this.#behind.push({ until, deadline: this.#ports.now() + patienceMs, reply, go })
  }

  #onCommitted(to: Seq): void {
    for (const [at, { epoch, replies }] of this.#proposed) {
      if (at > to) continue
      this.#proposed.delete(at)
      const isStill = this.#storage.markAt(at)?.epoch === epoch
      const done = this.#replica().position(at)
      for (const { reply, result } of replies) reply(isStill ? { kind: 'done', result, at: done } : again)
    }
    const ready = this.#behind.filter((read) => read.until <= to)
    this.#behind = this.#behind.filter((read) => read.until > to)
    for (const { go } of ready) go()
  }

  #onRoleChanged(): void {
    this.#holds.end()
    if (this.#replica().role === 'primary') return
    const dropped = [...this.#proposed.values()].flatMap(({ replies }) => replies)
    this.#proposed.clear()
    for (const { reply } of dropped) reply(again)
  }

  #onCommitAnswer(ticket: number, committed: Seq | undefined): void {
    const question = this.#questions.get(ticket)
    if (question === undefined) return
    this.#questions.delete(ticket)
    const { asked, reply } = question
    if (committed === undefined) return reply(again)
    if (this.#storage.applied >= committed) return this.#answerRead(asked, reply)
    this.#whenApplied(committed, reply, () => this.#answerRead(asked, reply))
  }

  #onFlushAnswer(ticket: number, outcome: 'flushed' | 'lost'): void {
    const flush = this.#flushes.get(ticket)
    if (flush === undefined) return
    this.#flushes.delete(ticket)
    if (outcome === 'lost') return flush.reply(again)
    this.#ports.flushed(flush.upTo)
    flush.reply({ kind: 'done', result: 'ok', at: this.#here() })
  }

  #pendingText(name: string): string {
    return untext(this.#storage.pending.keys.get(name as Key) ?? new Uint8Array(0))
  }

  #ticket(): number {
    this.#tickets += 1
    return this.#tickets
  }
}

const put = (name: string, value: string): Effect => ({ kind: 'put', key: name as Key, value: text(value) })

/** Nothing is answered from, or built on, a value whose checksum fails. */
function isSpoilt(state: SimStorage['state'], op: Op): boolean {
  if (state.damaged.size === 0) return false
  const { keys, blob } = touchedBy(op.object)
  return (
    keys.some((key) => state.damaged.has(key)) ||
    (blob !== undefined && [...state.damaged.keys()].some((part) => part.startsWith(`${blob}:`)))
  )
}
