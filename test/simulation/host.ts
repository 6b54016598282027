import type { NodeId } from '../../proto/ids.ts'
import { Disk } from './disk.ts'
import type { Process } from './process.ts'

/** A machine with one file server on it: its disk, its clock, and the process that runs there now. */
export class Host {
  readonly node: NodeId
  readonly disk = new Disk()
  /** How fast its clock runs, against true time. */
  readonly rate: number
  readonly #trueNow: () => number
  #bootedAt = 0
  #offset: number
  #wallOffset = 0
  process: Process | undefined
  isUp = true
  /** Grows each time the machine starts: what was on the way to it before is lost. */
  boots = 1
  starts = 0

  constructor(node: NodeId, clock: { readonly rate: number; readonly offset: number; readonly trueNow: () => number }) {
    this.node = node
    this.rate = clock.rate
    this.#offset = clock.offset
    this.#trueNow = clock.trueNow
  }

  /** Ms since the machine started, as it counts them. */
  readonly now = (): number => this.#offset + (this.#trueNow() - this.#bootedAt) * this.rate

  /** Ms, by its time of day: somebody sets that now and then, and nothing may depend on it (S18). */
  readonly wall = (): number => this.now() + this.#wallOffset

  stepClock(byMs: number): void {
    this.#wallOffset += byMs
  }

  boot(): void {
    this.isUp = true
    this.boots += 1
    this.#bootedAt = this.#trueNow()
    this.#offset = 1000
  }
}
