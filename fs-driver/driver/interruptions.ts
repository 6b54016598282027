import type { ProcessStatus } from './process-status.ts'

/**
 * The kernel says INTERRUPT for any signal, once, and a program does not expect EINTR of files because a child of its
 * has ended. So a request is given up at once only for a process that is dying, as on NFS; for others after a wait that
 * no failover takes: then somebody who presses Ctrl-C is to be heard.
 */
const patienceMs = 5_000
/** A deadly signal that comes after the first one is not announced: it is looked for. */
const lookEveryMs = 200

interface Interruption {
  readonly pid: number
  readonly sinceMs: number
  readonly abort: () => void
}

/** Interrupted requests that are not answered yet. */
export class Interruptions {
  readonly #read: (pid: number) => ProcessStatus | undefined
  readonly #nowMs: () => number
  readonly #waiting = new Map<bigint, Interruption>()
  #timer: NodeJS.Timeout | undefined

  constructor(read: (pid: number) => ProcessStatus | undefined, nowMs: () => number) {
    this.#read = read
    this.#nowMs = nowMs
  }

  /** The process that waits for request `unique` got a signal. `abort` is called at most once, now or later. */
  add(unique: bigint, { pid, abort }: { pid: number; abort: () => void }): void {
    if (this.#waiting.has(unique)) return
    this.#waiting.set(unique, { pid, abort, sinceMs: this.#nowMs() })
    this.look()
    if (this.#waiting.size > 0) this.#timer ??= setInterval(() => this.look(), lookEveryMs).unref()
  }

  /** The request was answered. */
  remove(unique: bigint): void {
    if (!this.#waiting.delete(unique) || this.#waiting.size > 0) return
    clearInterval(this.#timer)
    this.#timer = undefined
  }

  look(): void {
    const nowMs = this.#nowMs()
    for (const [unique, { pid, sinceMs, abort }] of this.#waiting) {
      // Of a process in another pid namespace (0) nothing is known; one that is not there any more is dying.
      const dying = pid !== 0 && (this.#read(pid)?.dying ?? true)
      if (!dying && nowMs - sinceMs < patienceMs) continue
      this.remove(unique)
      abort()
    }
  }
}
