/** So many names taken away or led elsewhere, one soon after the other: there will be more. */
const many = 3
const soonMs = 1_000

/** Is somebody taking away one name after another, in whatever directories? */
export class Removing {
  readonly #nowMs: () => number
  #count = 0
  #lastMs = Number.NEGATIVE_INFINITY

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs
  }

  removed(): void {
    const now = this.#nowMs()
    this.#count = now - this.#lastMs > soonMs ? 1 : this.#count + 1
    this.#lastMs = now
  }

  get goesOn(): boolean {
    return this.#count >= many && this.#nowMs() - this.#lastMs <= soonMs
  }
}
