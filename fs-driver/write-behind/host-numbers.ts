/** Numbers that no other driver of this host gives as well, before or after: of its monotonic clock, each greater than the last. */
export class HostNumbers {
  #last: bigint

  /** Greater ones than `last`. */
  constructor(last = 0n) {
    this.#last = last
  }

  next(): bigint {
    return this.block(1)
  }

  /** So many in a row. @returns the first */
  block(count: number): bigint {
    const now = process.hrtime.bigint()
    const first = now > this.#last ? now : this.#last + 1n
    this.#last = first + BigInt(count) - 1n
    return first
  }
}
