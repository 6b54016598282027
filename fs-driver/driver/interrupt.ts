import type { InterruptSignal } from '../router/file-client.ts'

/** Whether one request was interrupted, and who wants to know. Made for every request, so it is little. */
export class Interrupt implements InterruptSignal {
  aborted = false
  #listeners: Set<() => void> | undefined

  abort(): void {
    if (this.aborted) return
    this.aborted = true
    for (const listener of this.#listeners ?? []) listener()
    this.#listeners = undefined
  }

  addEventListener(_type: 'abort', listener: () => void): void {
    this.#listeners ??= new Set()
    this.#listeners.add(listener)
  }

  removeEventListener(_type: 'abort', listener: () => void): void {
    this.#listeners?.delete(listener)
  }
}
