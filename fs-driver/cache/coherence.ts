import type { Attributes, Caller, Recall } from '../../proto/generated/file-service.ts'
import { routeOf } from '../../proto/route.ts'
import type { Log } from '../log.ts'
import type { FileCall, Outcome } from '../router/file-client.ts'
import type { LeaseHolder } from '../router/lease-holder.ts'
import { within } from '../within.ts'
import { KernelHoldings } from './kernel-holdings.ts'
import type { CachedEntry, Lease } from './lease.ts'
import type { Answer, Changing, Held, LeaseCacheLimits } from './lease-cache.ts'
import { LeaseCache } from './lease-cache.ts'
import { PageDropper } from './page-dropper.ts'
import type { PageRange } from './page-ranges.ts'
import { Restless } from './restless.ts'
import { ShownAtimes } from './shown-atimes.ts'

/** What the kernel is told; see Notifier. */
export interface KernelMemory {
  forgetNames(): void
  forgetAttributes(ino: bigint): boolean
  forgetPages(ino: bigint, offset: bigint, length: bigint): Promise<void>
}

/** What is open here; see HandleTable. */
export interface OpenFiles {
  /** Some process may write to it. */
  isOpenForWriting(ino: bigint): boolean
  /** Some process reads it through the kernel's pages. */
  isOpenCached(ino: bigint): boolean
}

/** Outlives this process, and is watched by its supervisor; see LeaseFile. */
export interface LeaseRecord {
  /** What an earlier driver may have left in the kernel. */
  readonly left: { readonly pages: readonly bigint[]; readonly attributes: readonly bigint[] }
  /** Pages may be read until then; undefined: there are none. */
  setUntil(untilMs: number | undefined): void
  addPages(ino: bigint): void
  removePages(ino: bigint): void
  gaveAttributes(ino: bigint): void
}

export interface Heard {
  /** See Response.leased. */
  readonly leased: readonly bigint[]
  readonly caller: Caller
  /** From `begin`; it ends with this. */
  readonly change: Changing | undefined
}

export interface CoherenceParts {
  readonly kernel: KernelMemory
  readonly open: OpenFiles
  readonly record: LeaseRecord
  readonly nowMs: () => number
  readonly log: Log
  readonly limits?: LeaseCacheLimits
}

/** A kernel may keep what it was told for so long, at most and under a lease. */
const tellMs = 1_300
/** We stop so long before the leases' end: what has no time of its own in the kernel (pages) has to be gone by then. */
const marginMs = 100
/** After a recall the kernel is told nothing about the inode for so long: it would only have to be told to forget again. */
const recalledRestMs = 500
/** The same for names in a directory in which processes of this machine make changes. */
const changedRestMs = 2_000
/** A process that was woken up with an answer has taken it to heart after so long, on any machine that is not stopped. */
const settleMs = 50
/** How long a recall waits for pages of a file that is open for writing here. */
const writerPatienceMs = 100
/** Pages that are not gone by then are kept from going by something that nobody foresaw: the mount goes on all the same. */
const forgetLimitMs = 3_000
/** The kernel is given pages of so many files at most. */
const filesMax = 60_000
/** How long a read of a descriptor that fills pages waits to be answered under a lease, and between two questions. */
const readPatienceMs = 200
const readPauseMs = 2

/**
 * Keeps what the provider leases, in this process and in the kernel, and lets go of it in time: when it is recalled, when
 * this machine itself changes it, when leases run out, when the stream breaks.
 *
 * Names in the kernel are taken back all at once, by its epoch: that never waits, and no answer in flight survives it.
 * Taking back a single name waits for the directory's lock, which is held by whoever changes the directory; it leaves
 * names whose validation is in flight; and it does not find absent names.
 */
export class Coherence implements LeaseHolder {
  readonly #parts: CoherenceParts
  readonly #cache: LeaseCache
  readonly #holdings = new KernelHoldings()
  readonly #pages: PageDropper
  readonly #atimes = new ShownAtimes()
  readonly #recalled = new Restless(recalledRestMs)
  readonly #changed = new Restless(changedRestMs)
  /** Until when the leases hold, less a margin; -Infinity: there are none. */
  #untilMs = Number.NEGATIVE_INFINITY
  /** Given up, and not told yet. */
  #dropped = new Set<bigint>()
  /** Told with heartbeats that are not answered: until then these are not leased, whatever an answer says. */
  readonly #telling: ReadonlySet<bigint>[] = []
  #forgetting: Promise<void> = Promise.resolve()
  #term = 1
  /** Reads that wait for a lease: each is told of a recall. */
  readonly #waitingReads = new Map<bigint, Set<() => void>>()

  constructor(parts: CoherenceParts) {
    this.#parts = parts
    this.#cache = new LeaseCache(parts.limits)
    this.#pages = new PageDropper((...args) => parts.kernel.forgetPages(...args))
    const { attributes, pages } = parts.record.left
    for (const ino of pages) this.#holdings.gavePages(ino, undefined)
    for (const ino of attributes) parts.kernel.forgetAttributes(ino)
    if (attributes.length > 0) parts.kernel.forgetNames()
  }

  /** The answer, if a lease lets us give it without asking. */
  answer(call: FileCall, caller: Caller): Answer | undefined {
    return this.isLeased ? this.#cache.answer(call, caller) : undefined
  }

  /** As they are now, if we have a lease on them. */
  attributes(ino: bigint): Attributes | undefined {
    return this.isLeased ? this.#cache.attributes(ino) : undefined
  }

  /** To which inode the name leads, if any, and if we have a lease on the directory. */
  entry(parent: bigint, name: Uint8Array): CachedEntry | undefined {
    return this.isLeased ? this.#cache.entry(parent, name) : undefined
  }

  /** What the servers will be told, and is shown here from now on, until it is told or set to something else. */
  wasRead(ino: bigint, atimeNs: bigint): void {
    this.#atimes.set(ino, { fromNs: this.#cache.setAtime(ino, atimeNs), toNs: atimeNs })
  }

  /** Attributes that are known without the servers, as they are shown here. */
  asShown(attributes: Attributes): Attributes {
    return this.#atimes.of(attributes)
  }

  readIsTold(ino: bigint, atNs: bigint): void {
    this.#atimes.told(ino, atNs)
  }

  forgetRead(ino: bigint): void {
    this.#atimes.delete(ino)
  }

  /** Before a change is sent (see LeaseCache). @returns what it makes old, and of what nothing is kept here until it is answered */
  begin(
    call: FileCall,
    children: readonly bigint[] = [],
  ): { change: Changing | undefined; invalidated: readonly bigint[] } {
    if (routeOf(call) !== 'change') return { change: undefined, invalidated: [] }
    const change = this.#cache.begin(call, children)
    const nowMs = this.#parts.nowMs()
    this.#forgetNames(change.dirs, nowMs)
    for (const dir of change.dirs) this.#changed.stir(dir, nowMs)
    const invalidated: bigint[] = []
    for (const ino of change.inos) {
      const settled = this.#forgetAttributes(ino, nowMs) === 0
      const hasPages = change.contents.has(ino) && this.#hasPages(ino)
      if (settled && !hasPages) invalidated.push(ino) // otherwise it is recalled, like anybody's
    }
    return { change, invalidated }
  }

  /** In the order of the stream. @returns the leases under which the answer may be told to the kernel */
  heard(call: FileCall, outcome: Outcome, how: Heard): Held {
    if (outcome.kind === 'result') this.#atimes.putInto(outcome.result)
    const leased = this.isLeased ? how.leased.filter((ino) => !this.#isTelling(ino)) : []
    const held = this.#cache.onAnswer(call, outcome, { ...how, leased })
    for (const ino of leased) this.#dropped.delete(ino)
    const { result } = outcome.kind === 'result' ? outcome : { result: undefined }
    if (call.$case === 'mkdir' && result?.$case === 'entry' && result.value.attributes !== undefined) {
      this.#changed.stir(result.value.attributes.ino, this.#parts.nowMs()) // it is about to be filled
    }
    this.#evict()
    return held
  }

  /** A change that `heard` was not called for. */
  abandon(change: Changing): void {
    this.#cache.abandon(change)
  }

  /** How long the kernel may keep the attributes of `ino` that are told now, ms. */
  attributesMs(ino: bigint, held: Held): number {
    const nowMs = this.#parts.nowMs()
    if (!this.#standsFor(ino, held, nowMs)) return 0
    const forMs = this.#tellableMs(nowMs)
    if (this.#holdings.gaveAttributes(ino, nowMs, forMs)) this.#parts.record.gaveAttributes(ino)
    return forMs
  }

  /** The kernel has just been told an ACL of `ino`, or that it has none: it keeps that until it is told otherwise. */
  gaveAcl(ino: bigint, held: Held): void {
    if (this.#aliveFor(ino, held) && this.#holdings.gaveAcl(ino)) this.#parts.record.gaveAttributes(ino)
    else this.#parts.kernel.forgetAttributes(ino)
  }

  /** How long the kernel may keep a name in `dir`, or the absence of one, that is told now, ms. */
  nameMs(dir: bigint, held: Held): number {
    const nowMs = this.#parts.nowMs()
    if (!this.#standsFor(dir, held, nowMs) || this.#changed.has(dir, nowMs)) return 0
    const forMs = this.#tellableMs(nowMs)
    this.#holdings.gaveName(dir, nowMs, forMs)
    return forMs
  }

  /**
   * May the kernel keep the pages of `ino` that a descriptor reads which is opened now?
   * `keep`: also those that it has.
   */
  pagesFor(ino: bigint, held: Held): 'none' | 'fresh' | 'keep' {
    if (!this.#standsFor(ino, held, this.#parts.nowMs())) return 'none'
    if (this.#parts.open.isOpenForWriting(ino) || this.#holdings.pages.size >= filesMax) return 'none'
    const kept = this.#holdings.pages.get(ino)?.lease
    return kept !== undefined && kept === held.get(ino) && !this.#pages.isDropping(ino) ? 'keep' : 'fresh'
  }

  /** A read of it is under way, and may bring what was there before. */
  isReading(ino: bigint): boolean {
    return this.#pages.isReading(ino)
  }

  readBegan(ino: bigint, offset: bigint, length: number): PageRange {
    return this.#pages.readBegan(ino, offset, length)
  }

  /**
   * Is an answer to a read that fills pages to be put off, as no lease stands for it? Then it resolves to true when it is
   * to be asked again; a recall of the inode makes it false at once, since that waits for the read.
   */
  async isToBeAskedAgain(ino: bigint, held: Held, sinceMs: number): Promise<boolean> {
    if (this.#aliveFor(ino, held) || !this.isLeased || this.#pages.isDropping(ino)) return false
    if (this.#parts.nowMs() - sinceMs > readPatienceMs) return false
    return new Promise((resolve) => {
      const waiting = this.#waitingReads.get(ino) ?? new Set()
      this.#waitingReads.set(ino, waiting)
      const end = (again: boolean) => {
        clearTimeout(timer)
        waiting.delete(recalled)
        if (waiting.size === 0) this.#waitingReads.delete(ino)
        resolve(again)
      }
      const recalled = () => end(false)
      const timer = setTimeout(() => end(true), readPauseMs)
      waiting.add(recalled)
    })
  }

  /** The kernel is given these pages now. `cached`: by a descriptor that fills pages; others do so only by mapping. */
  readEnds(ino: bigint, range: PageRange, how: { held: Held; cached: boolean; filled: boolean }): void {
    const stands = this.#aliveFor(ino, how.held)
    if (how.filled && (how.cached || stands)) {
      this.#holdings.gavePages(ino, stands ? how.held.get(ino) : undefined)
      this.#parts.record.addPages(ino)
    }
    this.#pages.readEnded(ino, range)
    if (how.filled && how.cached && !stands) void this.#dropPages(ino)
  }

  async onRecall({ inos, everything }: Recall): Promise<void> {
    const all = everything ? [...new Set([...inos, ...this.#cache.dropAll()])] : inos
    this.#cache.drop(all)
    const nowMs = this.#parts.nowMs()
    this.#forgetNames(all, nowMs)
    const waits: Promise<void>[] = []
    for (const ino of all) {
      this.#recalled.stir(ino, nowMs)
      const settlesInMs = this.#forgetAttributes(ino, nowMs)
      if (settlesInMs > 0) waits.push(this.#forgetAttributesAgain(ino, settlesInMs))
      if (this.#hasPages(ino)) waits.push(this.#dropForOthers(ino))
      for (const recalled of this.#waitingReads.get(ino) ?? []) recalled()
    }
    await Promise.all(waits)
  }

  onProlonged(untilMs: number): void {
    this.onTick() // what has run out is not brought back
    const nowMs = this.#parts.nowMs()
    if (untilMs - marginMs <= Math.max(nowMs, this.#untilMs)) return
    this.#untilMs = untilMs - marginMs
    this.#parts.record.setUntil(untilMs)
  }

  takeDropped(): bigint[] {
    const dropped = [...this.#dropped].filter((ino) => this.#cache.lease(ino) === undefined)
    this.#dropped.clear()
    this.#telling.push(new Set(dropped))
    return dropped
  }

  onDroppedHeard(): void {
    this.#telling.shift()
  }

  onDetached(): Promise<void> {
    this.#dropped.clear()
    this.#telling.length = 0
    this.#forgetAll()
    return this.#forgetting
  }

  onTick(): void {
    if (this.#untilMs === Number.NEGATIVE_INFINITY || this.isLeased) return
    this.#parts.log.info('leases.ran-out', { leases: this.#cache.size, files: this.#holdings.pages.size })
    this.#forgetAll()
  }

  /** R28: everything at once. */
  #forgetAll(): void {
    this.#term++
    this.#untilMs = Number.NEGATIVE_INFINITY
    const dropped = this.#cache.dropAll()
    const { nowMs, record } = this.#parts
    this.#forgetNames('all', nowMs())
    const waits = [this.#forgetting]
    for (const ino of this.#holdings.attributes()) {
      const settlesInMs = this.#forgetAttributes(ino, nowMs())
      if (settlesInMs > 0) waits.push(this.#forgetAttributesAgain(ino, settlesInMs))
    }
    for (const ino of dropped) for (const recalled of this.#waitingReads.get(ino) ?? []) recalled()
    const files = [...this.#holdings.pages.keys()]
    for (const ino of files) this.#holdings.pagesGone(ino)
    this.#forgetting = Promise.all(waits).then(async () => {
      const dropped = Promise.all(files.map((ino) => this.#pages.dropBesidesReads(ino)))
      const inTime = await within(dropped, forgetLimitMs)
      if (!inTime) this.#parts.log.error('pages.not-dropped', { afterMs: forgetLimitMs })
      for (const ino of files) if (!this.#holdings.pages.has(ino)) record.removePages(ino)
      if (this.#untilMs === Number.NEGATIVE_INFINITY) record.setUntil(undefined)
    })
  }

  #forgetNames(dirs: Iterable<bigint> | 'all', nowMs: number): void {
    if (dirs !== 'all' && !this.#holdings.hasNames(dirs, nowMs)) return
    this.#parts.kernel.forgetNames()
    this.#holdings.namesGone()
  }

  /**
   * Of an inode that the kernel has, no older answer counts from now on. One that it has not may be on its way to it.
   *
   * @returns after how long it has to be told again; 0: not at all
   */
  #forgetAttributes(ino: bigint, nowMs: number): number {
    const givenMs = this.#holdings.takeAttributes(ino, nowMs)
    if (givenMs === undefined || this.#parts.kernel.forgetAttributes(ino)) return 0
    return Math.max(0, givenMs + settleMs - nowMs)
  }

  async #forgetAttributesAgain(ino: bigint, inMs: number): Promise<void> {
    await new Promise((resolve) => setTimeout(resolve, inMs))
    this.#parts.kernel.forgetAttributes(ino)
  }

  /**
   * Pages that were written to through a mapping are sent to us before they are dropped, and that write may have to wait
   * for the very entry that asks us to let go: so with a writer here it is not waited for long.
   */
  async #dropForOthers(ino: bigint): Promise<void> {
    const gone = this.#dropPages(ino)
    if (this.#parts.open.isOpenForWriting(ino)) await within(gone, writerPatienceMs)
    else await gone
  }

  async #dropPages(ino: bigint): Promise<void> {
    this.#holdings.pagesGone(ino)
    await this.#pages.drop(ino)
    if (!this.#holdings.pages.has(ino)) this.#parts.record.removePages(ino)
  }

  #evict(): void {
    const evicted = this.#cache.evict()
    if (evicted.length === 0) return
    const nowMs = this.#parts.nowMs()
    this.#forgetNames(evicted, nowMs)
    for (const ino of evicted) {
      const settlesInMs = this.#forgetAttributes(ino, nowMs)
      const waits: Promise<void>[] = []
      if (settlesInMs > 0) waits.push(this.#forgetAttributesAgain(ino, settlesInMs))
      if (this.#hasPages(ino)) waits.push(this.#dropPages(ino))
      void Promise.all(waits).then(() => this.#dropped.add(ino))
    }
  }

  #hasPages(ino: bigint): boolean {
    return this.#holdings.pages.has(ino) || this.#pages.isDropping(ino) || this.#parts.open.isOpenCached(ino)
  }

  /** Changes when leases are lost: what rested on them has to be asked for anew. */
  get term(): number {
    return this.#term
  }

  /** The provider has been heard of a short while ago: what it leases, and what the session holds, stands. */
  get isLeased(): boolean {
    return this.#parts.nowMs() < this.#untilMs
  }

  #aliveFor(ino: bigint, held: Held): boolean {
    const lease: Lease | undefined = held.get(ino)
    return lease?.alive === true && this.isLeased && !this.#cache.isChanging(ino)
  }

  #standsFor(ino: bigint, held: Held, nowMs: number): boolean {
    return this.#aliveFor(ino, held) && !this.#recalled.has(ino, nowMs) && this.#holdings.hasRoom(nowMs)
  }

  #tellableMs(nowMs: number): number {
    return Math.max(0, Math.floor(Math.min(tellMs, this.#untilMs - nowMs)))
  }

  #isTelling(ino: bigint): boolean {
    return this.#telling.some((inos) => inos.has(ino))
  }
}
