import type { Key, Seq } from '../../proto/ids.ts'
import { type Entry, origin } from '../../replication/entry.ts'
import type { Self } from '../../replication/ports.ts'
import type { Replica } from '../../replication/replica.ts'
import type { LeaseHolder, RecallFrame } from '../../server/session/lease-holder.ts'
import { Leases } from '../../server/session/leases.ts'
import { type Place, Places } from '../../server/session/places.ts'
import { decodeBody, encodeBody, text, untext } from './body.ts'
import { inoOf, inosIn, objectOf } from './operations.ts'
import { requestOf } from './oracle.ts'
import {
  type Answer,
  type Call,
  decodePlace,
  encodePlace,
  type LeaseCall,
  requestName,
  type ServerPorts,
  type StreamId,
  sessionKey,
} from './session.ts'
import type { SimStorage } from './storage.ts'

type Reply = (answer: Answer) => void

/** One client with a cache, attached here. */
interface Stream {
  readonly id: StreamId
  readonly holder: LeaseHolder<string>
  frames: number
  heardAt: number
  announcedAt: number
}

/** A client that says nothing for so long has no stream any more. */
const silentMs = 500
/** A session whose place is not known yet is announced so often. */
const announceMs = 100

/** The leases of a model server: the real table, between a simulated replica and simulated clients. */
export class LeaseService {
  readonly #ports: ServerPorts
  readonly #storage: SimStorage
  readonly #replica: () => Replica
  readonly leases: Leases<string>
  readonly #places = new Places<string>()
  readonly #streams = new Map<string, Stream>()
  /** Changes under way of clients with caches: they have forgotten by themselves what they change (S4). */
  readonly #changing = new Map<string, { readonly session: string; readonly invalidated: readonly bigint[] }>()

  constructor(ports: ServerPorts, storage: SimStorage, replica: () => Replica) {
    this.#ports = ports
    this.#storage = storage
    this.#replica = replica
    const leaseLeft = (): number => replica().leaseLeft()
    this.leases = new Leases({ now: () => ports.now(), timing: ports.timing, leaseLeft }, storage.opened.last.seq)
    this.#reread()
  }

  appended({ seq, body }: Entry): void {
    const effects = decodeBody(body)
    for (const effect of effects) {
      if (effect.kind !== 'put' && effect.kind !== 'delete') continue
      const session = sessionOf(effect.key)
      if (session === undefined) continue
      const place = effect.kind === 'put' ? decodePlace(untext(effect.value)) : undefined
      this.#places.note(session, place)
      if (place !== undefined) this.leases.movedOn(session, place.attach)
    }
    const request = requestOf({ body })
    this.leases.appended(seq, inosIn(body), request === undefined ? undefined : this.#changing.get(request))
  }

  cut(to: Seq): void {
    this.leases.cut(to)
    this.#reread()
  }

  restarted(base: Seq): void {
    this.leases.restarted(base)
  }

  providers(): Iterable<Self> {
    this.#reread()
    return [...this.#places.providers()]
  }

  isKept(provider: Self): boolean {
    return this.#places.has(provider)
  }

  onTick(): void {
    const now = this.#ports.now()
    for (const stream of this.#streams.values()) {
      if (now - stream.heardAt > silentMs) {
        this.#streams.delete(stream.id.session)
        this.leases.detach(stream.holder)
      } else if (!stream.holder.entitled && now - stream.announcedAt > announceMs) this.#announce(stream)
    }
    this.#progressing(() => this.leases.onTick())
  }

  onCall(call: LeaseCall, reply: Reply): void {
    const stream = call.kind === 'attach' ? this.#attach(call.stream) : this.#streamOf(call.stream)
    if (stream === undefined) return reply({ kind: 'again' })
    stream.heardAt = this.#ports.now()
    switch (call.kind) {
      case 'attach':
        return reply(framed(stream, { kind: 'done', result: 'welcome', at: origin }))
      case 'beat':
        stream.holder.entitled ||= this.#isKnownHere(stream)
        return reply(framed(stream, { kind: 'prolonged', leaseMs: this.leases.prolong(stream.holder) }))
      case 'recalled':
        return this.#progressing(() => this.leases.answered(stream.holder, call.number))
    }
  }

  /** The way back for a read or change on a stream; undefined: there is no such stream here. */
  replyOn(call: Call & { readonly kind: 'read' | 'change' }, id: StreamId, reply: Reply): Reply | undefined {
    const stream = this.#streamOf(id)
    if (stream === undefined) return undefined
    const inos = [inoOf(call.op.object)]
    const name = call.kind === 'change' ? requestName(call.request) : undefined
    if (name !== undefined) this.#changing.set(name, { session: id.session, invalidated: inos })
    return (answer) => {
      if (name !== undefined) this.#changing.delete(name)
      if (this.#streams.get(id.session) !== stream) return reply({ kind: 'again' })
      if (answer.kind === 'again') return reply(answer)
      const leased = call.kind === 'read' && answer.kind === 'done' && this.#grant(stream, inos, answer.at.seq)
      reply({ ...framed(stream, answer), leased })
    }
  }

  /** Asks a session for a hold, if it is attached here. */
  ask(session: string, object: string, number: number): void {
    const stream = this.#streams.get(session)
    if (stream === undefined) return
    stream.frames += 1
    const none = { number: 0n, objects: [], everything: false }
    this.#ports.push({ stream: stream.id, frame: stream.frames, ...none, wanted: { object, number } })
  }

  /** A member says that a session is attached to it. */
  hear(session: string, place: Place): void {
    this.#places.hear(session, place)
    const noted = this.#storage.pending.keys.get(sessionKey(session) as Key)
    const before = noted === undefined ? undefined : decodePlace(untext(noted))
    if (noted !== undefined && place.attach > (before?.attach ?? 0n) && this.#replica().mayChange()) {
      const key = sessionKey(session) as Key
      this.#replica().propose(encodeBody([{ kind: 'put', key, value: text(encodePlace(place)) }]))
    }
    this.#replica().onRecalled()
  }

  #grant(stream: Stream, inos: readonly bigint[], at: Seq): boolean {
    return this.leases.grant(stream.holder, inos, at).length === inos.length
  }

  #attach(id: StreamId): Stream | undefined {
    const { role } = this.#replica()
    const known = this.#streams.get(id.session)
    if (role === 'none' || role === 'resyncing' || (known !== undefined && known.id.attach >= id.attach))
      return undefined
    let stream: Stream | undefined
    this.#progressing(() => {
      const holder = this.leases.attach(id.session, id.attach, (recall) => {
        if (stream !== undefined) this.#recall(stream, recall)
      })
      if (holder === undefined) return
      stream = { id, holder, frames: 0, heardAt: 0, announcedAt: 0 }
      this.#streams.set(id.session, stream)
      this.#announce(stream)
    })
    return stream
  }

  #recall(stream: Stream, { number, inos, everything }: RecallFrame): void {
    stream.frames += 1
    this.#ports.push({ stream: stream.id, frame: stream.frames, number, objects: inos.map(objectOf), everything })
  }

  #streamOf(id: StreamId): Stream | undefined {
    const stream = this.#streams.get(id.session)
    return stream?.id.attach === id.attach ? stream : undefined
  }

  #announce(stream: Stream): void {
    stream.announcedAt = this.#ports.now()
    const { session } = stream.id
    const place = this.#placeOf(stream)
    const primary = this.#replica().primary()
    if (primary === this.#ports.self) this.hear(session, place)
    else if (primary !== undefined) this.#ports.sendToServer(primary, { frame: 'attached', session, place })
  }

  #placeOf({ id }: Stream): Place {
    return { node: this.#ports.self, incarnation: this.#ports.incarnation, attach: id.attach }
  }

  #isKnownHere(stream: Stream): boolean {
    const record = this.#storage.state.keys.get(sessionKey(stream.id.session) as Key)
    return record !== undefined && untext(record) === encodePlace(this.#placeOf(stream))
  }

  #progressing(act: () => void): void {
    const before = this.leases.recalled
    act()
    if (this.leases.recalled > before) this.#replica().onRecalled()
  }

  #reread(): void {
    const places: [string, Place][] = []
    for (const [key, value] of this.#storage.pending.keys) {
      const session = sessionOf(key)
      const place = session === undefined ? undefined : decodePlace(untext(value))
      if (session !== undefined && place !== undefined) places.push([session, place])
    }
    this.#places.reset(places)
  }
}

function framed(stream: Stream, answer: Answer): Answer {
  stream.frames += 1
  return { ...answer, frame: stream.frames }
}

/** The session whose record a key is. */
function sessionOf(key: Key): string | undefined {
  return key.startsWith('s/') && !key.slice(2).includes('/') ? key.slice(2) : undefined
}
