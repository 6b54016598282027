import type { Attributes, HeldDirectory as Taken } from '../../proto/generated/file-service.ts'
import { holdsMax } from '../../proto/holds.ts'
import { Restless } from '../cache/restless.ts'

/** The hold on one directory: nobody else sees or changes what is in it. */
export interface HeldDirectory {
  readonly ino: bigint
  readonly number: bigint
  /** Of leases (see Coherence) when it was asked for. */
  readonly term: number
  /** As they are, with what is held back; undefined: a change went through, and has made them old. */
  attributes: Attributes | undefined
  /** All names that may be in it; undefined: there may be others. */
  names: Set<string> | undefined
  /** Names that are certainly not in it. */
  readonly absent: Set<string>
  /** Where names in it lead: to directories, and to new inodes of which not all is done. */
  readonly known: Map<string, bigint>
  /** When a name was last made in it here, or taken away, held back. */
  changedMs: number
  /** Names of files in it on which holds were asked for already. */
  readonly tried: Set<string>
  /** Each is told of names in it that are made or taken away, held back or not. */
  readonly watching: Set<Set<string>>
  /** Nothing but its owner, mode and group decides who may make what in it; false: not known. */
  readonly plain: boolean
  readonly sinceMs: number
  /** Somebody wants it, or nobody needs it: nothing more is held back under it. */
  leaving: boolean
  usedMs: number
  /** What it is like now will be asked for as soon as all changes are answered that were sent. */
  settling: Promise<void> | undefined
}

/** Changes of what is in a directory that were sent by themselves. */
interface Sent {
  /** Not answered. */
  count: number
  /** Of all that were ever sent: tells whether any was since. */
  total: number
  /** Names made or taken away lately, one by one. */
  changed: number
  changedMs: number
  endedMs: number
  /** Called when none is under way. */
  readonly waiting: (() => void)[]
}

/** Of a session's holds, no more are on directories: files need theirs, those in the directories among them. */
const directoriesMax = holdsMax / 4
/** After somebody else wanted it, a hold is not asked for again for so long; longer, where that happens again and again. */
const restMs = 2_000
const longestRestMs = 30_000
/** For so long others are reckoned with in it: their files are left to them. */
const contestedMs = 30_000
/** Who makes or takes away so many names in a directory in so short a time will go on. */
const manyNames = 2
const manyWithinMs = 2_000
/** Names remembered of one directory, and of all. */
const namesMax = 100_000
const allNamesMax = 500_000
const lookEvery = 10_000
const absentMax = 1024
/** Directories of which it is remembered what was sent lately. */
const sentMax = 1024

/** Which directories this driver has holds on, and what it knows of them by that. */
export class HeldDirectories {
  readonly #nowMs: () => number
  readonly #held = new Map<bigint, HeldDirectory>()
  /** Numbers that were asked for, and not answered. */
  readonly #asking = new Set<bigint>()
  readonly #askingFor = new Set<bigint>()
  readonly #sent = new Map<bigint, Sent>()
  readonly #recalled = new Restless(restMs, longestRestMs)
  readonly #contested = new Restless(contestedMs)
  /** Remembered ever. */
  #names = 0

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs
  }

  get isUnused(): boolean {
    return this.#held.size === 0
  }

  all(): Iterable<HeldDirectory> {
    return this.#held.values()
  }

  get(ino: bigint): HeldDirectory | undefined {
    return this.#held.get(ino)
  }

  isAsking(number: bigint): boolean {
    return this.#asking.has(number)
  }

  get isFull(): boolean {
    return this.#held.size + this.#askingFor.size >= directoriesMax
  }

  /** All is known of it that must be for something to be made in it here and now. */
  usable(ino: bigint, term: number): (HeldDirectory & { attributes: Attributes }) | undefined {
    const held = this.#held.get(ino)
    if (held?.attributes === undefined || held.attributes.nlink === 0) return undefined
    if (held.leaving || held.term !== term || this.isChanging(ino)) return undefined
    return held as HeldDirectory & { attributes: Attributes }
  }

  /** Changes in it were sent by themselves and are not answered. */
  isChanging(ino: bigint): boolean {
    return (this.#sent.get(ino)?.count ?? 0) > 0
  }

  /** Tells whether a change was sent meanwhile. */
  changesSent(ino: bigint): number {
    return this.#sent.get(ino)?.total ?? 0
  }

  /** Resolves when no change of it is under way that was sent by itself. */
  quiet(ino: bigint): Promise<void> {
    if (!this.isChanging(ino)) return Promise.resolve()
    return new Promise((resolve) => this.#sentOf(ino).waiting.push(resolve))
  }

  /** Somebody makes one name after another in it, or takes them away. */
  isBusy(ino: bigint): boolean {
    const sent = this.#sent.get(ino)
    return sent !== undefined && sent.changed >= manyNames && this.#nowMs() - sent.changedMs <= manyWithinMs
  }

  /** A directory that is made here: nothing is in it. */
  made(attributes: Attributes, number: bigint, term: number): void {
    this.#held.set(attributes.ino, {
      ...this.#fresh(attributes.ino, number, term),
      attributes,
      names: new Set(),
      plain: true,
    })
  }

  /** Is the hold on it to be asked for, or what it is like? Then it counts as asked for, under that number. */
  ask(ino: bigint, number: bigint): boolean {
    const held = this.#held.get(ino)
    if (held?.plain === true || held?.leaving === true) return false
    if (this.isFull || this.#askingFor.has(ino) || this.rests(ino)) return false
    this.#askingFor.add(ino)
    this.#asking.add(number)
    return true
  }

  /** Somebody else wanted it a short while ago. */
  rests(ino: bigint): boolean {
    return this.#recalled.has(ino, this.#nowMs())
  }

  /** Somebody else wanted it while it was held. */
  isContested(ino: bigint): boolean {
    return this.#contested.has(ino, this.#nowMs())
  }

  /** A directory that was made by itself, with the hold on it: what it is like has to be asked for. */
  born(ino: bigint, number: bigint, term: number): void {
    this.#held.set(ino, { ...this.#fresh(ino, number, term), names: new Set() })
  }

  /**
   * `taken` undefined: it was not answered. `quiet`: no change was under way meanwhile. `names`: all that are in it, if
   * that is known.
   *
   * @returns whether it is to be given back at once
   */
  asked(
    ino: bigint,
    how: {
      number: bigint
      term: number
      taken: Taken | undefined
      quiet: boolean
      names?: readonly string[] | undefined
    },
  ): boolean {
    const { number, quiet, taken, term } = how
    this.#askingFor.delete(ino)
    this.#asking.delete(number)
    const given = taken?.hold === number
    if (!given || !taken.plain || taken.attributes === undefined) {
      this.#recalled.stir(ino, this.#nowMs())
      return given
    }
    const { attributes, entries } = taken
    const found = entries === 0n ? [] : how.names
    const before = this.#held.get(ino)
    // One that was leaving may have been another's in between.
    const kept = before?.leaving === false ? before.names : undefined
    const names = kept ?? (quiet && found !== undefined ? new Set(found) : undefined)
    this.#held.set(ino, {
      ...this.#fresh(ino, number, term),
      attributes: quiet ? attributes : undefined,
      names,
      plain: true,
    })
    return false
  }

  /** The servers have been told, or have ended the session. */
  released({ ino, number }: Pick<HeldDirectory, 'ino' | 'number'>): void {
    if (this.#held.get(ino)?.number === number) this.#held.delete(ino)
  }

  recalled(held: HeldDirectory): void {
    held.leaving = true
    this.#recalled.stir(held.ino, this.#nowMs())
    this.#contested.stir(held.ino, this.#nowMs())
  }

  used(held: HeldDirectory): void {
    held.usedMs = this.#nowMs()
  }

  clear(): void {
    this.#held.clear()
  }

  /** A change of what is in it is about to be sent by itself: of that name, or of the directory. */
  began(ino: bigint, name: string | undefined): void {
    const sent = this.#sentOf(ino)
    sent.count++
    sent.total++
    const held = this.#held.get(ino)
    if (held === undefined) return
    held.attributes = undefined
    if (name === undefined) return
    held.known.delete(name)
    this.#mayBe(held, name)
  }

  /** `changed`: it has made a name in it, or taken one away. */
  ended(ino: bigint, { changed }: { changed: boolean }): void {
    const sent = this.#sentOf(ino)
    sent.count--
    const now = this.#nowMs()
    sent.endedMs = now
    if (sent.count === 0) for (const resolve of sent.waiting.splice(0)) resolve()
    if (changed) {
      sent.changed = now - sent.changedMs > manyWithinMs ? 1 : sent.changed + 1
      sent.changedMs = now
    } else sent.changed = 0
    for (const [other, { count }] of this.#sent) {
      if (this.#sent.size <= sentMax) break
      if (count === 0) this.#sent.delete(other)
    }
  }

  /** A name is made in it here, or leads elsewhere. `ino`: see HeldDirectory.known. */
  add(held: HeldDirectory, name: string, ino: bigint | undefined): void {
    if (ino === undefined) held.known.delete(name)
    else held.known.set(name, ino)
    held.changedMs = this.#nowMs()
    this.#mayBe(held, name)
  }

  /** A name in it is taken away here. */
  remove(held: HeldDirectory, name: string): void {
    for (const changed of held.watching) changed.add(name)
    held.known.delete(name)
    held.names?.delete(name)
    held.changedMs = this.#nowMs()
    this.#isAbsent(held, name)
  }

  /** There is certainly no such name. */
  lacks({ absent, names }: HeldDirectory, name: string): boolean {
    return absent.has(name) || names?.has(name) === false
  }

  /** These, or any of all, may have been removed, moved or replaced: what they are like has to be asked for. */
  mayBeGone(inos: Iterable<bigint> | 'any'): void {
    for (const ino of inos === 'any' ? this.#held.keys() : inos) {
      const held = this.#held.get(ino)
      if (held !== undefined) held.attributes = undefined
    }
  }

  /** The servers, asked at that time, said that there is no such name. */
  isAbsent(ino: bigint, name: string, askedMs: number): void {
    const held = this.#unchangedSince(ino, askedMs)
    if (held !== undefined) this.#isAbsent(held, name)
  }

  /** They said that it leads to that directory. */
  leadsTo(ino: bigint, name: string, directory: bigint, askedMs: number): void {
    this.#unchangedSince(ino, askedMs)?.known.set(name, directory)
  }

  /** It, if all that was done with names in it by now was done before servers were asked at that time. */
  #unchangedSince(ino: bigint, askedMs: number): HeldDirectory | undefined {
    const held = this.#held.get(ino)
    if (held === undefined || held.leaving || held.sinceMs > askedMs || held.changedMs >= askedMs) return undefined
    const { count = 0, endedMs = Number.NEGATIVE_INFINITY } = this.#sent.get(ino) ?? {}
    return count > 0 || endedMs >= askedMs ? undefined : held
  }

  #isAbsent({ absent }: HeldDirectory, name: string): void {
    if (absent.size >= absentMax) absent.clear()
    absent.add(name)
  }

  #mayBe(held: HeldDirectory, name: string): void {
    for (const changed of held.watching) changed.add(name)
    held.absent.delete(name)
    held.names?.add(name)
    if ((held.names?.size ?? 0) > namesMax) held.names = undefined
    this.#names++
    if (this.#names % lookEvery === 0) this.#forgetNames()
  }

  /** Of the fullest first. */
  #forgetNames(): void {
    const listed = [...this.#held.values()].filter(({ names }) => names !== undefined)
    let all = listed.reduce((sum, { names }) => sum + (names?.size ?? 0), 0)
    for (const held of listed.sort((a, b) => (b.names?.size ?? 0) - (a.names?.size ?? 0))) {
      if (all <= allNamesMax) return
      all -= held.names?.size ?? 0
      held.names = undefined
    }
  }

  #fresh(ino: bigint, number: bigint, term: number): HeldDirectory {
    return {
      ino,
      number,
      term,
      attributes: undefined,
      names: undefined,
      absent: new Set(),
      known: new Map(),
      changedMs: Number.NEGATIVE_INFINITY,
      tried: new Set(),
      watching: new Set(),
      plain: false,
      sinceMs: this.#nowMs(),
      leaving: false,
      usedMs: this.#nowMs(),
      settling: undefined,
    }
  }

  #sentOf(ino: bigint): Sent {
    const known = this.#sent.get(ino)
    if (known !== undefined) return known
    const never = Number.NEGATIVE_INFINITY
    const sent = { count: 0, total: 0, changed: 0, changedMs: never, endedMs: never, waiting: [] }
    this.#sent.set(ino, sent)
    return sent
  }
}
