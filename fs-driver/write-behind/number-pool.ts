import { numbersMax } from '../../proto/holds.ts'

/** Numbers for inodes that are made here (S28): the session's own, and never used twice. */
export class NumberPool {
  readonly #ask: (count: number) => Promise<bigint | undefined>
  readonly #ranges: { next: bigint; readonly end: bigint }[] = []
  #left = 0
  #asking = false

  /** `ask` resolves to the first of so many; undefined: there are none now. */
  constructor(ask: (count: number) => Promise<bigint | undefined>) {
    this.#ask = ask
  }

  /** undefined: there are none yet. More are asked for long before they are needed. */
  next(): bigint | undefined {
    if (this.#left < numbersMax / 4) this.fill()
    const [range] = this.#ranges
    if (range === undefined) return undefined
    this.#left--
    const { next } = range
    range.next++
    if (range.next === range.end) this.#ranges.shift()
    return next
  }

  fill(): void {
    if (this.#asking || this.#left >= numbersMax / 4) return
    this.#asking = true
    void this.#ask(numbersMax).then((first) => {
      this.#asking = false
      if (first === undefined) return
      this.#ranges.push({ next: first, end: first + BigInt(numbersMax) })
      this.#left += numbersMax
    })
  }

  /** The session that had them has ended. */
  clear(): void {
    this.#ranges.length = 0
    this.#left = 0
  }
}
