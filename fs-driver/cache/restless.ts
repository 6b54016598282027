/** Inodes of which something happened a short while ago; a sweep now and then keeps it small. */
export class Restless {
  readonly #until = new Map<bigint, number>()
  readonly #forMs: number
  #sweepAt = 1024

  constructor(forMs: number) {
    this.#forMs = forMs
  }

  stir(ino: bigint, nowMs: number): void {
    this.#until.set(ino, nowMs + this.#forMs)
    if (this.#until.size < this.#sweepAt) return
    for (const [other, untilMs] of this.#until) if (untilMs <= nowMs) this.#until.delete(other)
    this.#sweepAt = 1024 + 2 * this.#until.size
  }

  has(ino: bigint, nowMs: number): boolean {
    const untilMs = this.#until.get(ino)
    return untilMs !== undefined && nowMs < untilMs
  }
}
