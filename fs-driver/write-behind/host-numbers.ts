/** Numbers that no other driver of this host gives as well, before or after: of its monotonic clock, each greater than the last. */
export class HostNumbers {
  #last: bigint

  /** Greater ones than `last`. */
  constructor(last = 0n) {
    this.#last = last
  }

  next(): bigint {
    const now = process.hrtime.bigint()
    this.#last = now > this.#last ? now : this.#last + 1n
    return this.#last
  }
}
