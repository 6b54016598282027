import type { Request } from '../protocol/request.ts'
import type { InterruptSignal } from '../router/file-client.ts'
import { Interrupt } from './interrupt.ts'
import type { Interruptions } from './interruptions.ts'

/**
 * Requests in work at once, and what they carry. Beyond either no more are taken from the kernel, which makes the
 * processes wait (even INTERRUPT has to). As many threads rarely wait for one mount.
 */
const requestsMax = 1024
const bytesMax = 128 << 20

/**
 * Processes that wait for locks take nothing from others, but each is asked for every second. Beyond it a lock that is
 * held by somebody else is ENOLCK.
 */
const lockWaitsMax = 2048
/** INTERRUPTs that came before the request they are for: two readers of one device may be overtaken. */
const earlyInterruptsMax = 64

/** A request that has not been answered for long. */
export interface LongWait {
  readonly op: string
  readonly ino: bigint
  readonly pid: number
  readonly forMs: number
}

interface Working extends Omit<LongWait, 'forMs'> {
  readonly sinceMs: number
  readonly interrupt: Interrupt
  readonly bytes: number
  /** Perhaps for ever: it takes none of the room, and a signal ends it at once. */
  readonly waits: boolean
  /** Somebody has been told how long it waits. */
  told: boolean
}

/** Requests in work, and the signals that are for them. */
export class InFlight {
  readonly #kernel: { pause(): void; resume(): void }
  readonly #interruptions: Interruptions
  readonly #nowMs: () => number
  /** By `unique` as the kernel said it. */
  readonly #working = new Map<bigint, Working>()
  readonly #earlyInterrupts = new Set<bigint>()
  #bytes = 0
  /** Of those in work: that wait for locks. */
  #lockWaits = 0
  #paused = false

  constructor(kernel: { pause(): void; resume(): void }, interruptions: Interruptions, nowMs: () => number) {
    this.#kernel = kernel
    this.#interruptions = interruptions
    this.#nowMs = nowMs
  }

  get size(): number {
    return this.#working.size
  }

  get mayWaitForLock(): boolean {
    return this.#lockWaits < lockWaitsMax
  }

  has(unique: bigint): boolean {
    return this.#working.has(unique)
  }

  /** `waits`: for a lock. */
  begin(request: Request, { waits }: { waits: boolean }): InterruptSignal {
    const interrupt = new Interrupt()
    const { nodeid: ino, pid, unique } = request.header
    const bytes = request.op === 'WRITE' ? request.args.data.length : request.op === 'READ' ? request.args.length : 0
    const sinceMs = this.#nowMs()
    this.#working.set(unique, { op: request.op, ino, pid, sinceMs, interrupt, bytes, waits, told: false })
    this.#bytes += bytes
    if (waits) this.#lockWaits++
    if (this.#earlyInterrupts.delete(unique)) this.interrupt(unique)
    if (!this.#paused && !this.#hasRoom()) {
      this.#paused = true
      this.#kernel.pause()
    }
    return interrupt
  }

  end(unique: bigint): void {
    const ended = this.#working.get(unique)
    this.#bytes -= ended?.bytes ?? 0
    if (ended?.waits) this.#lockWaits--
    this.#working.delete(unique)
    this.#interruptions.remove(unique)
    if (this.#paused && this.#hasRoom()) {
      this.#paused = false
      this.#kernel.resume()
    }
  }

  /** A request that is not known was answered already, or has yet to be sent again, or is just being read. */
  interrupt(target: bigint): void {
    const found = this.#working.get(target)
    if (found === undefined) {
      const [oldest] = this.#earlyInterrupts
      if (this.#earlyInterrupts.size >= earlyInterruptsMax && oldest !== undefined) this.#earlyInterrupts.delete(oldest)
      this.#earlyInterrupts.add(target)
      return
    }
    if (found.waits) return found.interrupt.abort()
    this.#interruptions.add(target, { pid: found.pid, abort: () => found.interrupt.abort() })
  }

  /** Those that have been in work for so long, each once. Who waits for a lock may do so for ever. */
  waitingFor(leastMs: number): LongWait[] {
    const long: LongWait[] = []
    for (const working of this.#working.values()) {
      const { ino, op, pid, sinceMs, told, waits } = working
      const forMs = Math.round(this.#nowMs() - sinceMs)
      if (forMs < leastMs) break // those after it are younger
      if (told || waits) continue
      working.told = true
      long.push({ op, ino, pid, forMs })
    }
    return long
  }

  #hasRoom(): boolean {
    return this.#working.size - this.#lockWaits < requestsMax && this.#bytes < bytesMax
  }
}
