export interface PauseLimits {
  readonly firstMs: number
  readonly maxMs: number
  /** What has lived for so long is no longer one that dies again and again. */
  readonly healthyMs: number
}

/** Between two starts of what ends by itself: doubled each time, the first again once it has lived for long. */
export class RestartPause {
  readonly #limits: PauseLimits
  #nextMs: number

  constructor(limits: PauseLimits) {
    this.#limits = limits
    this.#nextMs = limits.firstMs
  }

  ended(livedMs: number): void {
    if (livedMs > this.#limits.healthyMs) this.#nextMs = this.#limits.firstMs
  }

  /** How long to wait now, ms. */
  next(): number {
    const now = this.#nextMs
    this.#nextMs = Math.min(2 * now, this.#limits.maxMs)
    return now
  }
}
