import type { NodeId, Seq } from '../proto/ids.ts'
import { type Core, send } from './core.ts'
import { assertFlushed } from './flushed.ts'
import type { Ms } from './ports.ts'
import type { Slice, Wanted, WorkItem } from './work.ts'

/** How the resync ended for now: it can't go on here (`full`), or its stream is broken (`torn`). */
export type Trouble = 'full' | 'torn'

/** An item, and what was left of it when it was described. */
interface Asked {
  readonly item: WorkItem
  readonly rest: WorkItem | undefined
}

/** Unanswered for so many retries, a question is asked again. */
const patience = 6
/**
 * So much is asked for at once: small items (a file of a few KiB is one) must not cost a round trip each, and slices stand in
 * the stream before entries that clients wait for.
 */
const batchItems = 64
const batchBytes = 2 << 20
/** Stores compare whole blocks, no larger than that: two ranges in one block bring it twice. */
const blockBytesMax = 64 << 10
/** Keys have no length of their own before they are read: about what a full slice of them has. */
const keysBytes = 128 << 10

/**
 * The member's half of a resync: asks for the first remaining items, and applies what comes in its place in the stream.
 * What remains is on the disk, so it can be cut anywhere and goes on from there (R36).
 */
export class ResyncTarget {
  readonly #core: Core
  readonly #trouble: (what: Trouble) => void
  readonly #flushed: (upTo: Seq) => void
  #leader: NodeId | undefined
  #attempt = 0
  /** Of the slice that comes next, and of the last that was asked for. */
  #ticket = 0
  #lastTicket = 0
  #askedAt: Ms = 0
  /** Since the resync began in this process. */
  #moved = { items: 0, bytes: 0 }
  /** What was asked for and has not come, in order. */
  #asked: readonly Asked[] = []
  #phase: 'idle' | 'describing' | 'asked' | 'flushing' | 'done' = 'idle'

  constructor(core: Core, trouble: (what: Trouble) => void, flushed: (upTo: Seq) => void) {
    this.#core = core
    this.#trouble = trouble
    this.#flushed = flushed
  }

  /** Everything was brought over and is on the disk. */
  get done(): boolean {
    return this.#phase === 'done'
  }

  start(leader: NodeId, attempt: number): void {
    this.#leader = leader
    this.#attempt = attempt
    this.#next()
  }

  stop(): void {
    this.#leader = undefined
    this.#phase = 'idle'
    this.#newTicket()
  }

  onSlice(ticket: number, slice: Slice): void {
    if (this.#phase !== 'asked' || ticket !== this.#ticket) return // an earlier question's; it was asked again
    // Only now, between the entries it was read between, does it show the state that these entries lead to (S13, R37).
    if (slice.at !== this.#core.journal.committed) return this.#trouble('torn')
    const [came, ...later] = this.#asked
    const rest = [slice.rest, came?.rest].filter((item) => item !== undefined)
    if (this.#core.ports.storage.applySlice(slice, rest) === 'full') return this.#trouble('full')
    this.#moved = { items: this.#moved.items + 1, bytes: this.#moved.bytes + slice.movedBytes }
    this.#asked = later
    this.#ticket += 1
    this.#askedAt = this.#core.ports.clock.now()
    // What was left of this item, or came of it, has its turn before what else was asked for.
    const isNext = later.length > 0 && this.#core.ports.storage.resync()?.remaining[0] === later[0]?.item
    if (!isNext) this.#next()
  }

  onTick(): void {
    const waited = this.#core.ports.clock.now() - this.#askedAt
    if (this.#phase === 'asked' && waited > patience * this.#core.timing.retry) this.#next()
  }

  #next(): void {
    const items = batchOf(this.#core.ports.storage.resync()?.remaining ?? [])
    if (items.length === 0) return this.#finish()
    const ticket = this.#newTicket(items.length)
    this.#phase = 'describing'
    const described = new Map<number, Asked & { readonly wanted: Wanted }>()
    for (const [index, item] of items.entries()) {
      this.#core.ports.storage.describe(item, (wanted, rest) => {
        if (ticket !== this.#ticket || this.#leader === undefined) return
        described.set(index, { item, rest, wanted })
        if (described.size === items.length) this.#fetch(items.flatMap((_, at) => described.get(at) ?? []))
      })
    }
  }

  /** As far as nothing is left of one: that has its turn before what comes after it. */
  #fetch(described: readonly (Asked & { readonly wanted: Wanted })[]): void {
    if (this.#leader === undefined) return
    const cut = described.findIndex(({ rest }) => rest !== undefined)
    const asked = cut === -1 ? described : described.slice(0, cut + 1)
    this.#asked = asked
    this.#phase = 'asked'
    this.#askedAt = this.#core.ports.clock.now()
    const wanted = asked.map((one) => one.wanted)
    send(this.#core, this.#leader, { kind: 'fetch', attempt: this.#attempt, ticket: this.#ticket, wanted })
  }

  /** Nothing that was asked for before is taken any more. @returns the first of so many */
  #newTicket(count = 1): number {
    this.#ticket = this.#lastTicket + 1
    this.#lastTicket = this.#ticket + count - 1
    return this.#ticket
  }

  /** S11: all of it is on the disk before the mark is taken away, and that before the set may grow. */
  #finish(): void {
    const ticket = this.#newTicket()
    this.#phase = 'flushing'
    this.#core.ports.storage.flush((outcome, upTo) => {
      assertFlushed(outcome)
      if (ticket !== this.#ticket) return
      this.#flushed(upTo)
      if (this.#core.ports.storage.resync() !== undefined) this.#core.ports.storage.endResync()
      this.#phase = 'done'
      this.#core.ports.log('resync.done', { committed: this.#core.journal.committed, ...this.#moved })
      this.#moved = { items: 0, bytes: 0 }
      if (this.#leader !== undefined) send(this.#core, this.#leader, { kind: 'caughtUp', attempt: this.#attempt })
    })
  }
}

/**
 * From the first on. A range of keys or blobs leaves or brings further items, which have their turn before all others: it is
 * asked for alone. So is what was asked for in the same batch: that it is equal by then shows only afterwards.
 */
function batchOf(remaining: readonly WorkItem[]): readonly WorkItem[] {
  let bytes = 0
  const items: WorkItem[] = []
  for (const item of remaining) {
    const alone = item.kind === 'keyRange' || item.kind === 'blobRange'
    bytes += item.kind === 'range' ? item.length : keysBytes
    if (items.length > 0 && (alone || bytes > batchBytes || items.some((before) => overlap(before, item)))) break
    items.push(item)
    if (alone || items.length === batchItems) break
  }
  return items
}

function overlap(a: WorkItem, b: WorkItem): boolean {
  if (a.kind === 'keys' && b.kind === 'keys') return a.keys.some((key) => b.keys.includes(key))
  if (a.kind !== 'range' || b.kind !== 'range' || a.blob !== b.blob) return false
  const [first, second] = [a, b].map(({ length, offset }) => ({
    from: Math.floor(offset / blockBytesMax),
    to: Math.ceil((offset + length) / blockBytesMax),
  })) as [Extent, Extent]
  return first.from < second.to && second.from < first.to
}

interface Extent {
  readonly from: number
  readonly to: number
}
