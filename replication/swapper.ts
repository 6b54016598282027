import type { Ms, Ports, Self, Timing } from './ports.ts'
import type { Versioned, VolumeRecord } from './record.ts'

/**
 * One change of the record at a time, until it is certain whether it took effect (R9): it is sent again until a later
 * version is seen, which either is ours or makes ours impossible.
 */
export class Swapper {
  readonly #ports: Ports
  readonly #self: Self
  readonly #timing: Timing
  #count = 0
  #pending: { readonly expected: number; readonly next: VolumeRecord; sentAt: Ms } | undefined

  constructor(ports: Ports, self: Self, timing: Timing) {
    this.#ports = ports
    this.#self = self
    this.#timing = timing
  }

  /** The change that is not settled yet. Whatever it would allow or forbid must be reckoned with. */
  get pending(): VolumeRecord | undefined {
    return this.#pending?.next
  }

  start(from: Versioned, next: VolumeRecord): void {
    if (this.#pending !== undefined) return
    this.#count += 1
    const named = { ...next, changedBy: `${this.#self.node}/${this.#self.incarnation}/${this.#count}` }
    this.#pending = { expected: from.version, next: named, sentAt: this.#ports.clock.now() }
    this.#ports.log('record.swap', {
      expected: from.version,
      epoch: named.epoch,
      primary: named.primary,
      inSync: named.inSync,
    })
    this.#ports.directory.swap(from.version, named)
  }

  onRecord(versioned: Versioned): void {
    if (this.#pending !== undefined && versioned.version > this.#pending.expected) this.#pending = undefined
  }

  onTick(): void {
    const pending = this.#pending
    if (pending === undefined || this.#ports.clock.now() - pending.sentAt < this.#timing.retry) return
    pending.sentAt = this.#ports.clock.now()
    this.#ports.directory.swap(pending.expected, pending.next)
  }
}
