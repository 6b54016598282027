/** What a server's clock said is forgotten after twice so long: it may be set, or another host's turn. */
const windowNs = 30_000_000_000n
const aheadNs = 1_000_000_000n

/**
 * What time it is for the servers: the greatest difference to this host's monotonic clock that was heard of lately, as an
 * answer is always old when it comes. So it lags by less than the quickest answer took; and it does not go back, unless that clock was set.
 */
export class ServerTime {
  readonly #monotonicNs: () => bigint
  #offset: bigint | undefined
  #before: bigint | undefined
  #sinceNs = 0n
  #last = 0n

  constructor(monotonicNs: () => bigint = () => process.hrtime.bigint()) {
    this.#monotonicNs = monotonicNs
  }

  /** A server's clock has said so just now. */
  heard(serverNs: bigint): void {
    const now = this.#monotonicNs()
    if (now - this.#sinceNs > windowNs) {
      this.#before = this.#offset
      this.#offset = undefined
      this.#sinceNs = now
    }
    const offset = serverNs - now
    if (this.#offset === undefined || offset > this.#offset) this.#offset = offset
  }

  /** Later than all before, and than `after`. undefined: nothing was heard yet */
  next(after: bigint): bigint | undefined {
    const known = [this.#offset, this.#before].filter((offset) => offset !== undefined)
    if (known.length === 0) return undefined
    const offset = known.reduce((a, b) => (a > b ? a : b))
    const estimate = this.#monotonicNs() + offset
    const least = (this.#last > after ? this.#last : after) + 1n
    // Farther ahead than that is a clock which was wrong, and was set.
    this.#last = estimate > least || least - estimate > aheadNs ? estimate : least
    return this.#last
  }
}
