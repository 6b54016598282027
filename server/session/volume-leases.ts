import type { Seq } from '../../proto/ids.ts'
import type { Entry } from '../../replication/entry.ts'
import type { Host, Ms, Self, Timing } from '../../replication/ports.ts'
import type { Replica } from '../../replication/replica.ts'
import { encodeBody } from '../store/body.ts'
import { parseKey, placeKey, prefixes, sessionKey } from '../store/keys.ts'
import { decodePlace, encodePlace } from '../store/place-records.ts'
import { decodeReply } from '../store/session-records.ts'
import type { VolumeStore } from '../store/volume-store.ts'
import type { LeaseHolder, SendRecall } from './lease-holder.ts'
import { Leases, type Origin } from './leases.ts'
import { type Place, Places } from './places.ts'
import { sessionsMax } from './sessions.ts'
import { touchedInos } from './touched-inos.ts'

export interface VolumeLeasePorts {
  readonly self: Self
  readonly timing: Timing
  readonly now: () => Ms
  readonly replica: () => Pick<Replica, 'leaseLeft' | 'mayChange' | 'onRecalled' | 'primary' | 'propose' | 'status'>
  readonly store: Pick<VolumeStore, 'committed' | 'opened' | 'pending' | 'pendingKeys' | 'scan' | 'touchesOf'>
  /** A step of replication. */
  readonly step: (run: () => void) => void
}

type LeaseHost = Pick<Host, 'appended' | 'cut' | 'isKept' | 'providers' | 'recalled' | 'restarted'>

/** A client's change that is under way, and what its driver has forgotten for it. */
interface Asked extends Origin<bigint> {
  readonly seq: bigint
}

/** Leases of one member's clients, between replication, which says what changes, and the clients' streams. */
export class VolumeLeases implements LeaseHost {
  readonly leases: Leases<bigint>
  readonly #ports: VolumeLeasePorts
  readonly #places = new Places<bigint>()
  /** By session and slot. */
  readonly #asked = new Map<string, Asked>()
  /** `#places` is what the journal says: it was read since the journal began anew, or lost its end. */
  #placesKnown = false
  /** They are being read; `stale`: from a journal that is not there any more. */
  #reading: { stale: boolean } | undefined
  #flushing = false

  constructor(ports: VolumeLeasePorts) {
    this.#ports = ports
    const { now, timing, replica, store } = ports
    this.leases = new Leases({ now, timing, leaseLeft: () => replica().leaseLeft() }, store.opened.last.seq)
  }

  // What replication tells, in the middle of its steps.

  appended({ seq: at }: Entry): void {
    const touches = this.#ports.store.touchesOf(at)
    for (const effect of touches) {
      if (!('key' in effect) || !effect.key.startsWith(prefixes.place)) continue
      const parsed = parseKey(effect.key)
      if (parsed?.kind === 'place') this.#noted(parsed.session, effect.kind === 'put' ? effect.value : undefined)
    }
    if (!this.leases.isUsed) return this.leases.skipped(at)
    this.leases.appended(at, touchedInos(touches), this.#originOf(touches))
    this.#flushSoon()
  }

  /** The client of this member that asked for an entry, if its driver has forgotten something for that. */
  #originOf(touches: ReturnType<VolumeLeasePorts['store']['touchesOf']>): Asked | undefined {
    if (this.#asked.size === 0) return undefined
    for (const effect of touches) {
      if (effect.kind !== 'put' || !effect.key.startsWith(prefixes.reply)) continue
      const parsed = parseKey(effect.key)
      const asked = parsed?.kind === 'reply' ? this.#asked.get(`${parsed.session}/${parsed.slot}`) : undefined
      if (asked !== undefined && decodeReply(effect.value).seq === asked.seq) return asked
    }
    return undefined
  }

  cut(to: Seq): void {
    this.leases.cut(to)
    this.#forgetPlaces()
  }

  restarted(base: Seq): void {
    this.leases.restarted(base)
    this.#forgetPlaces()
    this.#flushSoon()
  }

  recalled(): Seq {
    return this.leases.recalled
  }

  providers(): Iterable<Self> | undefined {
    return this.#placesKnown ? [...this.#places.providers()] : undefined
  }

  isKept(provider: Self): boolean {
    return !this.#placesKnown || this.#places.has(provider)
  }

  // What happens otherwise.

  /** The role may have changed. */
  look(): Promise<void> {
    const { role } = this.#ports.replica().status()
    // Slices bring places as well, and nobody says which.
    if (role === 'resyncing') this.#forgetPlaces()
    else if (!this.#placesKnown && this.#reading === undefined) return this.#readPlaces()
    return Promise.resolve()
  }

  onTick(): void {
    this.#progressing(() => this.leases.onTick())
    this.#flushSoon()
  }

  /** Undefined: a later stream of the session is here already. */
  attach(session: bigint, attach: bigint, send: SendRecall): LeaseHolder<bigint> | undefined {
    let holder: LeaseHolder<bigint> | undefined
    this.#progressing(() => {
      holder = this.leases.attach(session, attach, send)
    })
    return holder
  }

  answered(holder: LeaseHolder<bigint>, number: bigint): void {
    this.#progressing(() => this.leases.answered(holder, number))
  }

  /** The answer to a heartbeat of a stream: for how long its leases hold from the sending of it on; 0: not prolonged. */
  prolong(holder: LeaseHolder<bigint>): number {
    holder.entitled ||= this.#isKnownHere(holder)
    const leaseMs = this.leases.prolong(holder)
    this.#flushSoon()
    return leaseMs
  }

  grant(holder: LeaseHolder<bigint>, inos: readonly bigint[], at: Seq): bigint[] {
    const given = this.leases.grant(holder, inos, at)
    this.#flushSoon()
    return given
  }

  /** A change is under way; its driver has forgotten what it says by itself. */
  asks(session: bigint, slot: number, change: { readonly seq: bigint; readonly invalidated: readonly bigint[] }): void {
    if (change.invalidated.length > 0) this.#asked.set(`${session}/${slot}`, { session, ...change })
  }

  /** It has been answered. */
  isAnswered(session: bigint, slot: number, number: bigint): void {
    const name = `${session}/${slot}`
    if (this.#asked.get(name)?.seq === number) this.#asked.delete(name)
  }

  /** A member says who is attached to it. The primary has the journal say so, and waits for no place before (S21). */
  onAlive(at: Self, sessions: Iterable<{ readonly session: bigint; readonly attach: bigint }>): void {
    const { replica, step, store } = this.#ports
    for (const { session, attach } of sessions) {
      if (attach === 0n) continue
      const place: Place = { ...at, attach }
      this.#places.hear(session, place)
      const noted = store.pending.get(placeKey(session))
      if (noted !== undefined && decodePlace(noted).attach >= attach) continue
      if (!replica().mayChange() || store.pending.get(sessionKey(session)) === undefined) continue
      step(() => replica().propose(encodeBody([{ kind: 'put', key: placeKey(session), value: encodePlace(place) }])))
    }
    step(() => replica().onRecalled())
  }

  #noted(session: bigint, value: Uint8Array | undefined): void {
    const place = value === undefined ? undefined : decodePlace(value)
    this.#places.note(session, place)
    // A session that has ended keeps nothing: its driver said so, or was silent for far longer than any lease.
    this.leases.movedOn(session, place?.attach ?? neverAgain)
  }

  #isKnownHere({ session, attach }: LeaseHolder<bigint>): boolean {
    const value = this.#ports.store.committed.get(placeKey(session))
    if (value === undefined) return false
    const { node, incarnation } = this.#ports.self
    const place = decodePlace(value)
    return place.node === node && place.incarnation === incarnation && place.attach === attach
  }

  /** All places, as the journal has them. What is told meanwhile is told to `#places`, too. */
  async #readPlaces(): Promise<void> {
    const { store } = this.#ports
    const reading = { stale: false }
    this.#reading = reading
    const sessions = new Set<bigint>()
    const add = (keys: Iterable<Parameters<typeof parseKey>[0]>): void => {
      for (const key of keys) {
        const parsed = parseKey(key)
        if (parsed?.kind === 'place') sessions.add(parsed.session)
      }
    }
    add(store.pendingKeys())
    const rows = await store.scan(prefixes.place, prefixes.place, 2 * sessionsMax)
    add(rows.map(([key]) => key))
    for (const session of this.#places.sessions()) sessions.add(session)
    this.#reading = undefined
    if (reading.stale) return // begun anew with the next look
    const places: [bigint, Place][] = []
    for (const session of sessions) {
      const value = store.pending.get(placeKey(session))
      if (value !== undefined) places.push([session, decodePlace(value)])
    }
    this.#places.reset(places)
    this.#placesKnown = true
  }

  #forgetPlaces(): void {
    this.#placesKnown = false
    if (this.#reading !== undefined) this.#reading.stale = true
  }

  #progressing(act: () => void): void {
    const before = this.leases.recalled
    act()
    if (this.leases.recalled > before) this.#ports.step(() => this.#ports.replica().onRecalled())
  }

  /** After the step that is under way. */
  #flushSoon(): void {
    if (this.#flushing) return
    this.#flushing = true
    queueMicrotask(() => {
      this.#flushing = false
      this.leases.flush()
    })
  }
}

/** Greater than any hello's. */
const neverAgain = 2n ** 64n
