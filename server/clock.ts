import os from 'node:os'
import type { Clock, Ms } from '../replication/ports.ts'

/** The wall clock and the monotonic one may drift apart by so much before we look whether the machine was suspended. */
const driftMs = 20

/**
 * This host's monotonic time, with the time it was suspended (R13). Node's hrtime stands still meanwhile, and asking the
 * kernel for its uptime reads a file: so that is done only when the wall clock has moved differently from hrtime.
 */
export class HostClock implements Clock {
  readonly #sources: ClockSources
  #suspendedMs = 0
  #wallAhead: number
  readonly #uptimeAhead: number

  constructor(sources: ClockSources = hostSources) {
    this.#sources = sources
    this.#wallAhead = sources.wallMs() - sources.hrtimeMs()
    this.#uptimeAhead = sources.uptimeMs() - sources.hrtimeMs()
  }

  now(): Ms {
    const hrtime = this.#sources.hrtimeMs()
    const wallAhead = this.#sources.wallMs() - hrtime
    if (Math.abs(wallAhead - this.#wallAhead) > driftMs) {
      this.#wallAhead = wallAhead
      this.#lookAtUptime(hrtime)
    }
    return hrtime + this.#suspendedMs
  }

  #lookAtUptime(hrtime: number): void {
    const suspended = this.#sources.uptimeMs() - hrtime - this.#uptimeAhead
    // Uptime comes in hundredths of a second; time never goes back.
    if (suspended > this.#suspendedMs + driftMs) this.#suspendedMs = suspended
  }
}

/** What the kernel says, in ms: the first stands still while the machine is suspended, the last does not. */
export interface ClockSources {
  hrtimeMs(): number
  wallMs(): number
  uptimeMs(): number
}

const hostSources: ClockSources = {
  hrtimeMs: () => performance.now(),
  wallMs: () => Date.now(),
  uptimeMs: () => os.uptime() * 1000,
}

/** So far ahead of the wall clock is what was given by one that was wrong, and has been set. */
const wrongMs = 1000

/**
 * Nanoseconds since 1970 for the times of files: to the microsecond, and never the same twice. They follow the wall clock
 * when it is set, also back.
 */
export class FileTimes {
  readonly #sources: Pick<ClockSources, 'hrtimeMs' | 'wallMs'>
  #offsetMs: number
  #last = 0n

  constructor(sources: Pick<ClockSources, 'hrtimeMs' | 'wallMs'> = hostSources) {
    this.#sources = sources
    this.#offsetMs = sources.wallMs() - sources.hrtimeMs()
  }

  readonly nowNs = (): bigint => {
    const hrtime = this.#sources.hrtimeMs()
    const offset = this.#sources.wallMs() - hrtime // in whole ms: the greatest of many is the truest
    if (offset > this.#offsetMs || this.#offsetMs - offset > driftMs) this.#offsetMs = offset
    const wall = BigInt(Math.floor((this.#offsetMs + hrtime) * 1000)) * 1000n
    const isWrong = this.#last - wall > BigInt(wrongMs) * 1_000_000n
    this.#last = wall > this.#last || isWrong ? wall : this.#last + 1n
    return this.#last
  }
}
