/**
 * Wakes whoever waits for this member's role, or for what it may do, to change. Leases also end and begin without an
 * event, so it wakes with each tick as well: those who wait look again and go on waiting.
 */
export class RoleWatch {
  #waiting: (() => void)[] = []

  /** Resolves with the next change or tick. */
  readonly changed = (): Promise<void> => new Promise((resolve) => this.#waiting.push(resolve))

  wake(): void {
    const waiting = this.#waiting
    if (waiting.length === 0) return
    this.#waiting = []
    for (const resolve of waiting) resolve()
  }
}
