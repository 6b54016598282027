import type { NodeId, Seq } from '../proto/ids.ts'
import { type Core, send } from './core.ts'
import { assertFlushed } from './flushed.ts'
import type { Ms } from './ports.ts'
import type { Slice, WorkItem } from './work.ts'

/** How the resync ended for now: it can't go on here (`full`), or its stream is broken (`torn`). */
export type Trouble = 'full' | 'torn'

/** Unanswered for so many retries, a question is asked again. */
const patience = 6

/**
 * The member's half of a resync: asks for one remaining item after the other and applies what comes in its place in the
 * stream. What remains is on the disk, so it can be cut anywhere and goes on from there (R36).
 */
export class ResyncTarget {
  readonly #core: Core
  readonly #trouble: (what: Trouble) => void
  readonly #flushed: (upTo: Seq) => void
  #leader: NodeId | undefined
  #attempt = 0
  #ticket = 0
  #askedAt: Ms = 0
  #rest: WorkItem | undefined
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
    this.#ticket += 1
  }

  onSlice(ticket: number, slice: Slice): void {
    if (this.#phase !== 'asked' || ticket !== this.#ticket) return // an earlier question's; it was asked again
    // Only now, between the entries it was read between, does it show the state that these entries lead to (S13, R37).
    if (slice.at !== this.#core.journal.committed) return this.#trouble('torn')
    const rest = [slice.rest, this.#rest].filter((item) => item !== undefined)
    if (this.#core.ports.storage.applySlice(slice, rest) === 'full') return this.#trouble('full')
    this.#next()
  }

  onTick(): void {
    const waited = this.#core.ports.clock.now() - this.#askedAt
    if (this.#phase === 'asked' && waited > patience * this.#core.timing.retry) this.#next()
  }

  #next(): void {
    const item = this.#core.ports.storage.resync()?.remaining[0]
    if (item === undefined) return this.#finish()
    this.#ticket += 1
    this.#phase = 'describing'
    const ticket = this.#ticket
    this.#core.ports.storage.describe(item, (wanted, rest) => {
      if (ticket !== this.#ticket || this.#leader === undefined) return
      this.#rest = rest
      this.#phase = 'asked'
      this.#askedAt = this.#core.ports.clock.now()
      send(this.#core, this.#leader, { kind: 'fetch', attempt: this.#attempt, ticket, wanted })
    })
  }

  /** S11: all of it is on the disk before the mark is taken away, and that before the set may grow. */
  #finish(): void {
    this.#ticket += 1
    this.#phase = 'flushing'
    const ticket = this.#ticket
    this.#core.ports.storage.flush((outcome, upTo) => {
      assertFlushed(outcome)
      if (ticket !== this.#ticket) return
      this.#flushed(upTo)
      if (this.#core.ports.storage.resync() !== undefined) this.#core.ports.storage.endResync()
      this.#phase = 'done'
      this.#core.ports.log('resync.done', { committed: this.#core.journal.committed })
      if (this.#leader !== undefined) send(this.#core, this.#leader, { kind: 'caughtUp', attempt: this.#attempt })
    })
  }
}
