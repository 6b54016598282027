/** Inodes of which something happened a short while ago; a sweep now and then keeps it small. */
export class Restless {
  readonly #rests = new Map<bigint, { readonly untilMs: number; readonly forMs: number }>()
  readonly #forMs: number
  readonly #mostMs: number
  #sweepAt = 1024

  /** Each time that it was quiet for less than the rest before, the next is twice as long: up to `mostMs`. */
  constructor(forMs: number, mostMs = forMs) {
    this.#forMs = forMs
    this.#mostMs = mostMs
  }

  stir(ino: bigint, nowMs: number): void {
    const before = this.#rests.get(ino)
    const again = before !== undefined && nowMs < before.untilMs + before.forMs
    const forMs = again ? Math.min(2 * before.forMs, this.#mostMs) : this.#forMs
    this.#rests.set(ino, { untilMs: nowMs + forMs, forMs })
    if (this.#rests.size < this.#sweepAt) return
    for (const [other, { forMs, untilMs }] of this.#rests) if (untilMs + forMs <= nowMs) this.#rests.delete(other)
    this.#sweepAt = 1024 + 2 * this.#rests.size
  }

  has(ino: bigint, nowMs: number): boolean {
    const rest = this.#rests.get(ino)
    return rest !== undefined && nowMs < rest.untilMs
  }
}
