import { randomBytes } from 'node:crypto'
import { closeSync, existsSync, openSync, rmSync, statfsSync } from 'node:fs'
import { join } from 'node:path'
import type { Space } from '../../replication/ports.ts'
import { isFull, writeAll } from './file-io.ts'

const cachedMs = 200
const partBytes = 1 << 20

/**
 * How much room the disk has. Asked of the system once in a while; what was written since is taken off. A file of as
 * many bytes as the reserve is kept, to be given away when something must be written although the disk is full.
 */
export class SpaceGauge {
  readonly #dir: string
  readonly #reserveBytes: number
  readonly #ballast: string
  #space: Space = { freeBytes: 0, totalBytes: 0 }
  #askedAt = Number.NEGATIVE_INFINITY
  #writtenSince = 0
  #hasBallast: boolean

  constructor(dir: string, reserveBytes: number) {
    this.#dir = dir
    this.#reserveBytes = reserveBytes
    this.#ballast = join(dir, 'ballast')
    this.#hasBallast = existsSync(this.#ballast)
  }

  get space(): Space {
    const now = performance.now()
    if (now - this.#askedAt >= cachedMs) {
      const { bavail, blocks, bsize } = statfsSync(this.#dir)
      this.#space = { freeBytes: bavail * bsize, totalBytes: blocks * bsize }
      this.#askedAt = now
      this.#writtenSince = 0
    }
    return { ...this.#space, freeBytes: Math.max(0, this.#space.freeBytes - this.#writtenSince) }
  }

  wrote(bytes: number): void {
    this.#writtenSince += bytes
  }

  /** As it is at this moment. */
  hasFree(bytes: number): boolean {
    this.#askedAt = Number.NEGATIVE_INFINITY
    return this.space.freeBytes >= bytes
  }

  /** What has no contents may take half of the reserve: else a full disk could not be emptied. */
  fits(bytes: number, how: { readonly contents: boolean }): boolean {
    return this.space.freeBytes - bytes >= (how.contents ? this.#reserveBytes : this.#reserveBytes / 2)
  }

  /** Sets the ballast up while there is plenty of room. */
  loadBallast(): void {
    if (this.#hasBallast || this.space.freeBytes < this.#reserveBytes * 4) return
    this.#hasBallast = true
    const fd = openSync(this.#ballast, 'w')
    try {
      const part = randomBytes(Math.min(partBytes, this.#reserveBytes)) // zeros may take no room
      for (let at = 0; at < this.#reserveBytes; at += partBytes) writeAll(fd, part, at)
    } catch (error) {
      if (!isFull(error)) throw error
      this.dropBallast()
    } finally {
      closeSync(fd)
    }
    this.#askedAt = Number.NEGATIVE_INFINITY
  }

  /** @returns whether there was any */
  dropBallast(): boolean {
    const had = this.#hasBallast
    rmSync(this.#ballast, { force: true })
    this.#hasBallast = false
    this.#askedAt = Number.NEGATIVE_INFINITY
    return had
  }
}
