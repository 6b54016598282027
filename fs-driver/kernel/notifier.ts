import { write, writeSync } from 'node:fs'
import type { Log } from '../log.ts'
import { encodeNotification } from '../protocol/notification.ts'

/**
 * Notifications that may wait in the kernel, in work at once. Each holds a thread of the pool meanwhile, and two more read
 * requests, on which the others may depend.
 */
const lanesOfDriver = 8
/** The same for names, which wait for changes that wait for recalls, which wait for pages: they have lanes of their own. */
const lanesForNames = 2
/** Beyond it a name stays: whoever has waited for it goes on. */
const namesMax = 1_024

/** Nothing there to do, or nobody there any more. */
const harmless: ReadonlySet<string> = new Set(['ENOENT', 'ENODEV', 'ECONNABORTED', 'ENOTCONN', 'EBADF'])

interface Lanes {
  readonly limit: number
  readonly queue: { readonly bytes: Buffer; readonly done: () => void }[]
  busy: number
}

/**
 * Tells the kernel to forget. What may wait there, for a request that this very process has yet to answer, is never
 * written by the main thread.
 */
export class Notifier {
  readonly #fd: number
  readonly #log: Log
  readonly #pages: Lanes
  readonly #names: Lanes = { limit: lanesForNames, queue: [], busy: 0 }
  #closed = false

  /** `lanes`: fewer than the pool of this process has threads. */
  constructor(fd: number, log: Log, lanes = lanesOfDriver) {
    this.#fd = fd
    this.#pages = { limit: lanes, queue: [], busy: 0 }
    this.#log = log
  }

  /** Every name that the kernel has is asked for again before its next use. Never waits. */
  forgetNames(): void {
    this.#now(encodeNotification({ kind: 'INC_EPOCH' }))
  }

  /** Never waits. @returns false: the kernel has no such inode, though it may be about to make it */
  forgetAttributes(ino: bigint): boolean {
    return this.#now(encodeNotification({ kind: 'INVAL_INODE', ino, offset: -1n, length: 0n }))
  }

  /**
   * Pages from `offset` on (`length` 0: to the end), and attributes. Waits for requests that touch these pages.
   * Resolves when they are gone; never rejects.
   */
  forgetPages(ino: bigint, offset: bigint, length: bigint): Promise<void> {
    return this.#later(this.#pages, encodeNotification({ kind: 'INVAL_INODE', ino, offset, length }))
  }

  /**
   * The name and all that is below it; what is in use stays, without a name. Waits for requests in `parent` that are not
   * answered. Resolves when it is gone; never rejects.
   */
  forgetName(parent: bigint, name: Uint8Array): Promise<void> {
    if (this.#names.queue.length >= namesMax) return Promise.resolve()
    return this.#later(this.#names, encodeNotification({ kind: 'INVAL_ENTRY', parent, name, expireOnly: false }))
  }

  /** The descriptor is about to be closed: nothing is written any more. What was asked for is over with the mount. */
  close(): void {
    this.#closed = true
    for (const { queue } of [this.#pages, this.#names]) for (const { done } of queue.splice(0)) done()
  }

  #now(bytes: Buffer): boolean {
    if (this.#closed) return false
    try {
      writeSync(this.#fd, bytes)
      return true
    } catch (error) {
      this.#judge(error as NodeJS.ErrnoException)
      return false
    }
  }

  #later(lanes: Lanes, bytes: Buffer): Promise<void> {
    if (this.#closed) return Promise.resolve()
    return new Promise((done) => {
      lanes.queue.push({ bytes, done })
      this.#next(lanes)
    })
  }

  #next(lanes: Lanes): void {
    while (lanes.busy < lanes.limit) {
      const next = lanes.queue.shift()
      if (next === undefined) return
      lanes.busy++
      write(this.#fd, next.bytes, (error) => {
        lanes.busy--
        if (error !== null) this.#judge(error)
        next.done()
        this.#next(lanes)
      })
    }
  }

  #judge(error: NodeJS.ErrnoException): void {
    if (harmless.has(error.code ?? '')) return
    this.#log.error('fuse.notification-refused', { code: error.code, stack: error.stack })
  }
}
