/**
 * Runs a piece of work that many want at once as seldom as it can be: each caller gets a run that *begins* after its
 * call, and all who wait for the next run share it. After a failure nothing runs again: it is never retried, since
 * nobody knows what a second fsync would mean (the kernel has forgotten what it could not write).
 */
export class Rounds {
  readonly #work: () => Promise<void>
  #running: Promise<void> | undefined
  #next: Promise<void> | undefined
  #failure: { readonly cause: unknown } | undefined

  constructor(work: () => Promise<void>) {
    this.#work = work
  }

  get failed(): boolean {
    return this.#failure !== undefined
  }

  async run(): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure.cause
    if (this.#next !== undefined) return this.#next // it has not begun
    if (this.#running === undefined) return this.#start()
    this.#next = this.#afterThis(this.#running)
    return this.#next
  }

  async #afterThis(running: Promise<void>): Promise<void> {
    try {
      await running
    } finally {
      this.#next = undefined
    }
    return this.#start()
  }

  #start(): Promise<void> {
    const run = this.#guarded()
    this.#running = run
    return run
  }

  async #guarded(): Promise<void> {
    try {
      await this.#work()
    } catch (error) {
      this.#failure ??= { cause: error }
      throw error
    } finally {
      this.#running = undefined
    }
  }
}
