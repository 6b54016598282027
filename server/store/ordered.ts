/**
 * Runs asynchronous pieces of work one after the other, in the order in which they came. What one throws goes to `fail`,
 * and the next runs all the same.
 */
export class Ordered {
  readonly #fail: (error: unknown) => void
  #last: Promise<void> = Promise.resolve()

  constructor(fail: (error: unknown) => void) {
    this.#fail = fail
  }

  run(work: () => Promise<void>): void {
    this.#last = this.#last.then(work).catch(this.#fail)
  }

  /** Everything that has come so far is done. */
  async idle(): Promise<void> {
    await this.#last
  }
}
