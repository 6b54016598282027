import { closeSync, constants, fstatSync, mkdirSync, openSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { codeOf } from './file-io.ts'

/** An open blob. `users` keep its descriptor open while something asynchronous goes on with it. */
export interface OpenBlob {
  readonly blob: bigint
  readonly fd: number
  /** As on the file: every change goes through `Blobs`. */
  size: number
  users: number
  /** No longer in the table: closed by the last user. */
  evicted: boolean
}

const openMax = 256
const { O_RDWR, O_CREAT } = constants

/**
 * The descriptors of blob files, a bounded number of them. Where a blob's file is: two levels of folders, such that
 * the order of names is the order of numbers, and that files made one after the other lie together:
 * blob 0x0102030405060708 is `0102030405/060/708`.
 */
export class BlobFiles {
  readonly #dir: string
  /** In the order of last use. */
  readonly #open = new Map<bigint, OpenBlob>()

  constructor(dir: string) {
    this.#dir = dir
  }

  pathOf(blob: bigint): string {
    const hex = blob.toString(16).padStart(16, '0')
    return join(this.#dir, hex.slice(0, 10), hex.slice(10, 13), hex.slice(13))
  }

  folderOf(blob: bigint): string {
    return dirname(this.pathOf(blob))
  }

  /** Undefined when there is no such blob. */
  find(blob: bigint): OpenBlob | undefined {
    const known = this.#open.get(blob)
    if (known === undefined) return this.#openFile(blob, O_RDWR)
    this.#open.delete(blob)
    this.#open.set(blob, known)
    return known
  }

  create(blob: bigint): OpenBlob {
    const made = this.#openFile(blob, O_RDWR | O_CREAT)
    if (made !== undefined) return made
    mkdirSync(this.folderOf(blob), { recursive: true })
    const second = this.#openFile(blob, O_RDWR | O_CREAT)
    if (second === undefined) throw new Error(`${this.pathOf(blob)} can't be made`)
    return second
  }

  /** The file is gone, or another one is in its place. */
  forget(blob: bigint): void {
    const known = this.#open.get(blob)
    if (known !== undefined) this.#evict(known)
  }

  hold(open: OpenBlob): void {
    open.users++
  }

  letGo(open: OpenBlob): void {
    open.users--
    if (open.evicted && open.users === 0) closeSync(open.fd)
  }

  close(): void {
    for (const open of this.#open.values()) this.#evict(open)
  }

  #openFile(blob: bigint, flags: number): OpenBlob | undefined {
    try {
      const fd = openSync(this.pathOf(blob), flags, 0o600)
      const open: OpenBlob = { blob, fd, size: fstatSync(fd).size, users: 0, evicted: false }
      this.#open.set(blob, open)
      for (const oldest of this.#open.values()) {
        if (this.#open.size <= openMax) break
        this.#evict(oldest)
      }
      return open
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return undefined
      throw error
    }
  }

  #evict(open: OpenBlob): void {
    this.#open.delete(open.blob)
    open.evicted = true
    if (open.users === 0) closeSync(open.fd)
  }
}
