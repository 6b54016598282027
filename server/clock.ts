import os from 'node:os'
import type { Clock, Ms } from '../replication/ports.ts'

/** The wall clock and the monotonic one may drift apart by so much before we look whether the machine was suspended. */
const driftMs = 20

/**
 * This host's monotonic time, with the time it was suspended (R13). Node's hrtime stands still meanwhile, and asking the
 * kernel for its uptime reads a file: so that is done only when the wall clock has moved differently from hrtime.
 */
export class HostClock implements Clock {
  #suspendedMs = 0
  #wallAhead = wallMs() - hrtimeMs()
  #uptimeAhead = uptimeMs() - hrtimeMs()

  now(): Ms {
    const hrtime = hrtimeMs()
    const wallAhead = wallMs() - hrtime
    if (Math.abs(wallAhead - this.#wallAhead) > driftMs) {
      this.#wallAhead = wallAhead
      this.#lookAtUptime()
    }
    return hrtime + this.#suspendedMs
  }

  #lookAtUptime(): void {
    const suspended = uptimeMs() - hrtimeMs() - this.#uptimeAhead
    // Uptime comes in hundredths of a second; time never goes back.
    if (suspended > this.#suspendedMs + driftMs) this.#suspendedMs = suspended
  }
}

/** Nanoseconds since 1970 for the times of files: to the microsecond, and never the same twice. */
export class FileTimes {
  #last = 0n

  readonly nowNs = (): bigint => {
    const wall = BigInt(Math.floor((performance.timeOrigin + performance.now()) * 1000)) * 1000n
    this.#last = wall > this.#last ? wall : this.#last + 1n
    return this.#last
  }
}

const hrtimeMs = (): number => performance.now()
const wallMs = (): number => Date.now()
const uptimeMs = (): number => os.uptime() * 1000
