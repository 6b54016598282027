import { heldBytesMax, holdsMax } from '../../proto/holds.ts'
import type { Key } from '../../proto/ids.ts'
import type { Log, Ms } from '../../replication/ports.ts'
import { heldByOthers, holdOn } from '../filesystem/holds.ts'
import { encodeBody } from '../store/body.ts'
import type { Effect } from '../store/effect.ts'
import { decodeHold, type Hold } from '../store/hold-records.ts'
import { holdKey, parseKey, prefixes } from '../store/keys.ts'
import type { Commits } from './commits.ts'
import type { ReplicaPort, StatePort } from './ports.ts'
import { scanAll } from './scan-all.ts'

export interface HoldPorts {
  readonly replica: Pick<ReplicaPort, 'propose'>
  readonly state: Pick<StatePort, 'dirty' | 'pending' | 'scan'>
  readonly commits: Commits
  readonly now: () => Ms
  readonly freeBytes: () => number
  /** When the session was last heard of; undefined: there is none. */
  readonly heard: (session: bigint) => Ms | undefined
  /** Asks a session for a hold, wherever it is attached. May be lost. */
  readonly ask: (session: bigint, hold: { readonly ino: bigint; readonly number: bigint }) => void
  readonly log: Log
}

/** Said again so often to who does not answer. */
const askMs = 200
/**
 * A session that neither gives a hold back nor writes under it for so long loses it (R25), and with it, if it was not heard
 * of at all meanwhile, whatever else others want of it. Far longer than any lease.
 */
const fenceMs = 10_000
/** A session may count as heard of for so long after its last word (see Attachments, and how often they are reported). */
const heardLateMs = 4_000
/** After somebody else wanted it, nobody gets a hold on an inode for so long. */
const restMs = 1_000
/** Holds are given only while each session that has any could fill its share many times over. */
const shares = 16

interface Wait {
  readonly hold: Hold
  /** Since then nothing has come from who has it. */
  sinceMs: Ms
  askedMs: Ms
  readonly wake: ((released: boolean) => void)[]
}

/**
 * Holds at the primary (S1): state like any other, given with changes and given back by entries. Here is who has how many,
 * and who waits for one to be given back: in memory, as who waits asks again at the next primary.
 */
export class Holds {
  readonly #ports: HoldPorts
  /** By session: inodes on which it may have holds. invariant: no set is empty; none that has one is missing */
  readonly #inos = new Map<bigint, Set<bigint>>()
  readonly #waits = new Map<bigint, Wait>()
  readonly #resting = new Map<bigint, Ms>()
  /** By session that has not been heard of since it was asked for a hold: when that was. */
  readonly #silent = new Map<bigint, Ms>()

  constructor(ports: HoldPorts) {
    this.#ports = ports
  }

  /** A reign begins: all is read anew. Nothing may be proposed meanwhile. */
  async begin(): Promise<void> {
    this.end()
    for await (const [row, value] of scanAll(this.#ports.state, prefixes.hold)) {
      const parsed = parseKey(row)
      if (parsed?.kind !== 'hold') throw new Error('a scan of holds brought something else')
      this.#add(decodeHold(value).session, parsed.ino)
    }
  }

  /** A reign has ended. */
  end(): void {
    for (const { wake } of this.#waits.values()) for (const resolve of wake) resolve(false)
    this.#waits.clear()
    this.#inos.clear()
    this.#resting.clear()
    this.#silent.clear()
  }

  /** Somebody has a hold on something. */
  get isUsed(): boolean {
    return this.#inos.size > 0
  }

  /** Kept for what sessions hold back: others find so much less. */
  get reservedBytes(): number {
    return this.#inos.size * heldBytesMax
  }

  /** On which of what an operation looked at others have holds. */
  inTheWay(keys: Iterable<Key>, session: bigint): bigint[] {
    return heldByOthers(this.#ports.state.pending, keys, session)
  }

  /** May the session be given a hold? `ino` undefined: of a new file. */
  mayTake(session: bigint, ino: bigint | undefined): boolean {
    const inos = this.#inos.get(session)
    if ((inos?.size ?? 0) >= holdsMax || this.#isShort(inos === undefined ? 1 : 0)) return false
    return ino === undefined || (!this.#waits.has(ino) && !this.#resting.has(ino))
  }

  /** These effects are in the journal: pending state shows them. `under`: what was written under a hold. */
  proposed(effects: readonly Effect[], under: readonly bigint[] = []): void {
    for (const effect of effects) {
      if (!('key' in effect) || !effect.key.startsWith(prefixes.hold)) continue
      const parsed = parseKey(effect.key)
      if (parsed?.kind !== 'hold') continue
      if (effect.kind === 'put') this.#add(decodeHold(effect.value).session, parsed.ino)
      else {
        this.#answered(parsed.ino)
        this.#released(parsed.ino)
      }
    }
    for (const ino of under) {
      this.#answered(ino)
      const wait = this.#waits.get(ino)
      if (wait !== undefined) wait.sinceMs = this.#ports.now()
    }
  }

  /** Resolves when nobody else has holds on any of these, in pending state; false: this member does not decide any more. */
  async released(inos: readonly bigint[], session: bigint): Promise<boolean> {
    const all = await Promise.all(inos.map((ino) => this.#wait(ino, session)))
    return all.every((released) => released)
  }

  /** The same, when it is committed: so that every member sees it that has come so far. */
  async releasedForAll(inos: readonly bigint[], session: bigint): Promise<boolean> {
    if (!(await this.released(inos, session))) return false
    const { commits, state } = this.#ports
    for (const ino of inos) {
      const dirty = state.dirty(holdKey(ino))
      if (dirty !== undefined && !(await commits.reached(dirty))) return false
    }
    return true
  }

  onTick(): void {
    const now = this.#ports.now()
    for (const [ino, until] of this.#resting) if (now > until) this.#resting.delete(ino)
    if (this.isUsed && this.#isShort(0)) this.#askForAll()
    for (const [ino, wait] of [...this.#waits]) {
      if (now - wait.sinceMs > fenceMs) this.#fence(ino, wait)
      else if (now - wait.askedMs > askMs) this.#ask(ino, wait)
    }
  }

  /** What gives back all that the session has: to go into the entry that ends it (R32). */
  *freeing(session: bigint): Generator<Effect> {
    for (const ino of this.#inos.get(session) ?? []) {
      if (holdOn(this.#ports.state.pending, ino)?.session === session) yield { kind: 'delete', key: holdKey(ino) }
    }
  }

  /** That entry is in the journal. */
  onSessionEnded(session: bigint): void {
    for (const ino of this.#inos.get(session) ?? []) this.#wake(ino)
    this.#inos.delete(session)
    this.#silent.delete(session)
  }

  #isShort(more: number): boolean {
    return this.#ports.freeBytes() < (this.#inos.size + more) * heldBytesMax * shares
  }

  /** Before the disk is so full that what is kept for holds would be missed. */
  #askForAll(): void {
    for (const [session, inos] of this.#inos) {
      for (const ino of inos) {
        const hold = holdOn(this.#ports.state.pending, ino)
        if (hold?.session === session && !this.#waits.has(ino)) this.#begin(ino, hold)
      }
    }
  }

  #wait(ino: bigint, session: bigint): Promise<boolean> {
    const hold = holdOn(this.#ports.state.pending, ino)
    if (hold === undefined || hold.session === session) return Promise.resolve(true)
    const wait = this.#waits.get(ino) ?? this.#begin(ino, hold)
    return new Promise((resolve) => wait.wake.push(resolve))
  }

  #begin(ino: bigint, hold: Hold): Wait {
    const now = this.#ports.now()
    const wait = { hold, sinceMs: this.#silentSince(hold.session, now), askedMs: now, wake: [] }
    this.#waits.set(ino, wait)
    this.#ask(ino, wait)
    return wait
  }

  /** Who is gone is waited for once, however many holds it has that others want one after another. */
  #silentSince(session: bigint, now: Ms): Ms {
    const since = this.#silent.get(session)
    if (since !== undefined && (this.#ports.heard(session) ?? since) < since + heardLateMs) return since
    this.#silent.set(session, now)
    return now
  }

  #ask(ino: bigint, wait: Wait): void {
    wait.askedMs = this.#ports.now()
    this.#ports.ask(wait.hold.session, { ino, number: wait.hold.number })
  }

  #fence(ino: bigint, { hold }: Wait): void {
    const effects = [{ kind: 'delete', key: holdKey(ino) }] as const
    const { log, replica, state } = this.#ports
    if (holdOn(state.pending, ino) !== undefined && replica.propose(encodeBody(effects)).outcome !== 'proposed') return
    log('hold.fenced', { ino: String(ino), session: String(hold.session) })
    this.#released(ino)
  }

  #answered(ino: bigint): void {
    for (const [session, inos] of this.#inos) if (inos.has(ino)) this.#silent.delete(session)
  }

  #released(ino: bigint): void {
    for (const [session, inos] of this.#inos) if (inos.delete(ino) && inos.size === 0) this.#inos.delete(session)
    this.#wake(ino)
  }

  #wake(ino: bigint): void {
    const wait = this.#waits.get(ino)
    if (wait === undefined) return
    this.#waits.delete(ino)
    this.#resting.set(ino, this.#ports.now() + restMs)
    for (const resolve of wait.wake) resolve(true)
  }

  #add(session: bigint, ino: bigint): void {
    const inos = this.#inos.get(session)
    if (inos === undefined) this.#inos.set(session, new Set([ino]))
    else inos.add(ino)
  }
}
