/** Lets many wait for a condition on state that somebody else changes. */
export class Signal {
  readonly #waiting = new Set<() => void>()

  /** Something has changed: whoever waits looks again. */
  fire(): void {
    for (const look of this.#waiting) look()
  }

  /**
   * Resolves when `holds` gives true, asked now and after each `fire`. Rejects with what it throws, or after `limitMs`
   * with what `late` makes.
   */
  until(holds: () => boolean, limitMs?: number, late?: () => Error): Promise<void> {
    return new Promise((resolve, reject) => {
      let timer: NodeJS.Timeout | undefined
      const settle = (then: () => void): void => {
        clearTimeout(timer)
        this.#waiting.delete(look)
        then()
      }
      const look = (): void => {
        try {
          if (holds()) settle(resolve)
        } catch (error) {
          settle(() => reject(error))
        }
      }
      this.#waiting.add(look)
      if (limitMs !== undefined)
        timer = setTimeout(() => settle(() => reject(late?.() ?? new Error('too late'))), limitMs)
      look()
    })
  }
}
