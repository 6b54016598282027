/** Questions that are answered later by number. */
export class Tickets<T> {
  readonly #waiting = new Map<number, (answer: T) => void>()
  #next = 1

  /** Asks under a fresh number; the promise resolves with what `settle` is given for it. */
  ask(question: (ticket: number) => void): Promise<T> {
    const ticket = this.#next++
    return new Promise((resolve) => {
      this.#waiting.set(ticket, resolve)
      question(ticket)
    })
  }

  /** An answer to a number that nobody waits for is ignored: it came twice. */
  settle(ticket: number, answer: T): void {
    const resolve = this.#waiting.get(ticket)
    this.#waiting.delete(ticket)
    resolve?.(answer)
  }

  /** Gives everybody who still waits the same answer. */
  settleAll(answer: T): void {
    for (const ticket of this.#waiting.keys()) this.settle(ticket, answer)
  }
}
