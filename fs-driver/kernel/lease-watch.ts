import { readFileSync } from 'node:fs'
import type { Log } from '../log.ts'
import { within } from '../within.ts'
import { kill } from './kill.ts'
import { readLeaseEnd, readLeaseFile } from './lease-file.ts'
import { Notifier } from './notifier.ts'

const tickMs = 50
/** A driver that is only late has let go by itself until then. */
const graceMs = 50
/** Pages that are not gone by then wait for a request that the driver has: it is replaced, and the next one answers. */
const patienceMs = 500
/** After so long with a new driver there is no hope. */
const hopeMs = 5_000
/** A process that has been ending for so long waits for a notification in the kernel. */
const dyingTicks = 6
/** The supervisor's pool has four threads, of which ending the connection needs one. */
const lanes = 2

export interface LeaseWatchParts {
  readonly fd: number
  readonly leaseFile: string
  readonly log: Log
  /** The process id of the present driver. */
  driver(): number
  /** The driver has died, but for a thread that only its successor can set free. */
  onDying(): void
  abort(): Promise<void>
}

/**
 * Pages have no time of their own: a driver that is stopped or hangs cannot take them back when its leases run out. So
 * its supervisor does, which holds the connection too (S7).
 */
export class LeaseWatch {
  readonly #parts: LeaseWatchParts
  readonly #notifier: Notifier
  readonly #timer: NodeJS.Timeout
  #handled = 0n
  #dying = { pid: 0, ticks: 0 }

  constructor(parts: LeaseWatchParts) {
    this.#parts = parts
    this.#notifier = new Notifier(parts.fd, parts.log, lanes)
    this.#timer = setInterval(() => this.#onTick(), tickMs)
  }

  close(): void {
    clearInterval(this.#timer)
    this.#notifier.close()
  }

  #onTick(): void {
    const endNs = readLeaseEnd(this.#parts.leaseFile)
    if (endNs !== 0n && endNs !== this.#handled && process.hrtime.bigint() > endNs + BigInt(graceMs) * 1_000_000n) {
      this.#handled = endNs
      void this.#takeBack()
    }
    this.#lookForDying()
  }

  async #takeBack(): Promise<void> {
    const { leaseFile, log } = this.#parts
    this.#notifier.forgetNames()
    const pages = readLeaseFile(leaseFile)?.pages ?? []
    const pid = this.#parts.driver()
    log.info('leases.outlived', { pid, files: pages.length })
    const gone = Promise.all(pages.map((ino) => this.#notifier.forgetPages(ino, 0n, 0n)))
    if (await within(gone, patienceMs)) return
    log.error('driver.killed', { pid, reason: 'it keeps pages that it may not keep any more' })
    kill(pid)
    if (await within(gone, hopeMs)) return
    log.error('pages.not-dropped', { afterMs: patienceMs + hopeMs })
    await this.#parts.abort()
  }

  /** A thread that waits in the kernel for pages cannot be killed: its process ends when the next driver has answered. */
  #lookForDying(): void {
    const pid = this.#parts.driver()
    if (!isZombie(pid)) {
      this.#dying = { pid: 0, ticks: 0 }
      return
    }
    this.#dying = { pid, ticks: this.#dying.pid === pid ? this.#dying.ticks + 1 : 1 }
    if (this.#dying.ticks === dyingTicks) this.#parts.onDying()
  }
}

/** Its first thread has ended, and it has not been waited for. */
function isZombie(pid: number): boolean {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'latin1')
    return text.slice(text.lastIndexOf(')') + 2, text.lastIndexOf(')') + 3) === 'Z'
  } catch {
    return false
  }
}
