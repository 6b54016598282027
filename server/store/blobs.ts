import { fdatasync, ftruncateSync, mkdirSync, read as readCallback, readdirSync, renameSync, unlinkSync } from 'node:fs'
import { unlink } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { BlobFiles, type OpenBlob } from './blob-files.ts'
import { type BlobList, type BlobSpan, listBlobs, withSizes } from './blob-list.ts'
import { readAll, syncDirectory, withRoom, writeAll } from './file-io.ts'
import { punch, punchBytesMin } from './punch.ts'
import { Rounds } from './rounds.ts'

/** Told before a blob changes, while it still is what it was. */
export interface BlobWatch {
  before(): void
}

/** A bigger file is taken away in the background: freeing its blocks takes long. */
const slowDeleteBytes = 8 << 20
const syncsAtOnce = 8
const zeros = Buffer.alloc(1 << 20)
const readTries = 3
const datasync = promisify(fdatasync)
const read = promisify(readCallback)

/**
 * The contents of files: one sparse file a blob. Changes are synchronous, so that they are in order and kill -9 can't
 * part them; what reads asynchronously is told of changes that come in between.
 */
export class Blobs {
  readonly #dir: string
  readonly #trash: string
  readonly #files: BlobFiles
  readonly #makeRoom: () => boolean
  readonly #watches = new Map<bigint, Set<BlobWatch>>()
  /** Each gets the sizes that blobs had before their first change since it is here; 0: not there. */
  readonly #sizeWatches = new Set<Map<bigint, number>>()
  readonly #rounds = new Rounds(() => this.#syncRound())
  #unsynced = new Set<bigint>()
  #unsyncedFolders = new Set<string>()
  #trashed = 0

  /** `makeRoom` is asked when the disk is full in the middle of a change that must be made: was room made? */
  constructor(dir: string, makeRoom: () => boolean) {
    this.#dir = join(dir, 'files')
    this.#trash = join(dir, 'trash')
    this.#makeRoom = makeRoom
    mkdirSync(this.#dir, { recursive: true })
    mkdirSync(this.#trash, { recursive: true })
    for (const name of readdirSync(this.#trash)) unlinkSync(join(this.#trash, name))
    this.#files = new BlobFiles(this.#dir)
  }

  get failed(): boolean {
    return this.#rounds.failed
  }

  /** 0 when there is none. */
  size(blob: bigint): number {
    return this.#files.find(blob)?.size ?? 0
  }

  /** @returns the size before */
  write(blob: bigint, offset: number, data: Uint8Array): number {
    const open = this.#toChange(blob)
    const before = open.size
    const end = offset + data.length
    if (end > before) this.#resizing(blob, before)
    withRoom(this.#makeRoom, () => writeAll(open.fd, data, offset))
    open.size = Math.max(before, end)
    return before
  }

  /** @returns the size before */
  truncate(blob: bigint, size: number): number {
    const known = this.#files.find(blob)?.size ?? 0
    if (size === known) return known
    if (size === 0 && known > slowDeleteBytes) return this.delete(blob)
    const open = this.#toChange(blob)
    this.#resizing(blob, known)
    ftruncateSync(open.fd, size)
    open.size = size
    return known
  }

  /** The size stays; beyond it nothing is done. */
  zero(blob: bigint, offset: number, length: number): void {
    const size = this.#files.find(blob)?.size ?? 0
    const end = Math.min(offset + length, size)
    if (offset >= end) return
    const open = this.#toChange(blob)
    if (end - offset >= punchBytesMin && punch(this.#files.pathOf(blob), offset, end - offset)) return
    for (let at = offset; at < end; at += zeros.length) {
      withRoom(this.#makeRoom, () => writeAll(open.fd, zeros.subarray(0, end - at), at))
    }
  }

  /** @returns the size before */
  delete(blob: bigint): number {
    const open = this.#files.find(blob)
    if (open === undefined) return 0
    this.#changing(blob)
    this.#resizing(blob, open.size)
    this.#files.forget(blob)
    this.#unsynced.delete(blob)
    this.#unsyncedFolders.add(this.#files.folderOf(blob))
    if (open.size <= slowDeleteBytes) unlinkSync(this.#files.pathOf(blob))
    else this.#deleteSlowly(blob)
    return open.size
  }

  /** Short at the end of the blob. */
  readNow(blob: bigint, offset: number, length: number): Buffer {
    const open = this.#files.find(blob)
    const bytes = Math.min(length, (open?.size ?? 0) - offset)
    return open === undefined || bytes <= 0 ? Buffer.alloc(0) : readAll(open.fd, bytes, offset)
  }

  /** As it is at one moment between call and answer. */
  async read(blob: bigint, offset: number, length: number): Promise<Buffer> {
    let result: Buffer = Buffer.alloc(0)
    await this.readThen(blob, { offset, length }, (bytes) => {
      result = bytes
    })
    return result
  }

  /** `take` runs while the bytes are what the blob holds: they were read again when it was changed meanwhile (S10). */
  async readThen(blob: bigint, run: { offset: number; length: number }, take: (bytes: Buffer) => void): Promise<void> {
    for (let tries = 0; tries < readTries; tries++) {
      let changed = false
      const watch = { before: () => void (changed = true) }
      this.#watch(blob, watch)
      try {
        const bytes = await this.#readOnce(blob, run.offset, run.length)
        if (!changed) return take(bytes)
      } finally {
        this.#unwatch(blob, watch)
      }
    }
    take(this.readNow(blob, run.offset, run.length))
  }

  /** As it is at the call: a change that comes meanwhile waits until it is read. */
  async capture(blob: bigint, offset: number, length: number): Promise<Buffer> {
    let captured: Buffer | undefined
    const watch = { before: () => void (captured ??= this.readNow(blob, offset, length)) }
    this.#watch(blob, watch)
    try {
      const bytes = await this.#readOnce(blob, offset, length)
      return captured ?? bytes
    } finally {
      this.#unwatch(blob, watch)
    }
  }

  /** Up to `countMax` blobs, as they are at the call. */
  async list(span: BlobSpan, countMax: number): Promise<BlobList> {
    const before = new Map<bigint, number>()
    this.#sizeWatches.add(before)
    try {
      return withSizes(await listBlobs(this.#dir, span, countMax), span, before)
    } finally {
      this.#sizeWatches.delete(before)
    }
  }

  /** `take` runs while the list is what there is. */
  async listThen(span: BlobSpan, countMax: number, take: (list: BlobList) => void): Promise<void> {
    const changed = new Map<bigint, number>()
    this.#sizeWatches.add(changed)
    try {
      const found = await listBlobs(this.#dir, span, countMax)
      take(withSizes(found, span, new Map([...changed.keys()].map((blob) => [blob, this.size(blob)]))))
    } finally {
      this.#sizeWatches.delete(changed)
    }
  }

  /** Every change made before the call is on the disk afterwards. */
  sync(): Promise<void> {
    return this.#rounds.run()
  }

  /** What is being deleted in the background is not waited for: it is in the trash. */
  close(): void {
    this.#files.close()
  }

  #toChange(blob: bigint): OpenBlob {
    this.#changing(blob)
    this.#unsynced.add(blob)
    const open = this.#files.find(blob)
    if (open !== undefined) return open
    this.#unsyncedFolders.add(this.#files.folderOf(blob))
    return withRoom(this.#makeRoom, () => this.#files.create(blob))
  }

  #changing(blob: bigint): void {
    const watches = this.#watches.get(blob)
    if (watches !== undefined) for (const watch of watches) watch.before()
  }

  #resizing(blob: bigint, size: number): void {
    for (const before of this.#sizeWatches) if (!before.has(blob)) before.set(blob, size)
  }

  #watch(blob: bigint, watch: BlobWatch): void {
    const watches = this.#watches.get(blob)
    if (watches === undefined) this.#watches.set(blob, new Set([watch]))
    else watches.add(watch)
  }

  #unwatch(blob: bigint, watch: BlobWatch): void {
    const watches = this.#watches.get(blob)
    watches?.delete(watch)
    if (watches?.size === 0) this.#watches.delete(blob)
  }

  async #readOnce(blob: bigint, offset: number, length: number): Promise<Buffer> {
    const open = this.#files.find(blob)
    const bytes = Math.min(length, (open?.size ?? 0) - offset)
    if (open === undefined || bytes <= 0) return Buffer.alloc(0)
    const buffer = Buffer.allocUnsafe(bytes)
    this.#files.hold(open)
    try {
      let done = 0
      while (done < bytes) {
        const { bytesRead } = await read(open.fd, buffer, done, bytes - done, offset + done)
        if (bytesRead === 0) break
        done += bytesRead
      }
      return buffer.subarray(0, done)
    } finally {
      this.#files.letGo(open)
    }
  }

  #deleteSlowly(blob: bigint): void {
    const path = join(this.#trash, String(this.#trashed++))
    renameSync(this.#files.pathOf(blob), path)
    unlink(path).catch(() => undefined) // the next start empties the trash
  }

  async #syncRound(): Promise<void> {
    const blobs = [...this.#unsynced]
    const folders = [...this.#unsyncedFolders]
    this.#unsynced = new Set()
    this.#unsyncedFolders = new Set()
    await eachOf(blobs, (blob) => this.#syncBlob(blob))
    await eachOf(withParents(folders, this.#dir), syncDirectory)
  }

  async #syncBlob(blob: bigint): Promise<void> {
    const open = this.#files.find(blob)
    if (open === undefined) return
    this.#files.hold(open)
    try {
      await datasync(open.fd)
    } finally {
      this.#files.letGo(open)
    }
  }
}

/** With a few at once, not all: each occupies a thread of the pool. */
async function eachOf<T>(things: readonly T[], work: (thing: T) => Promise<void>): Promise<void> {
  let next = 0
  const worker = async () => {
    for (let thing = things[next++]; thing !== undefined; thing = things[next++]) await work(thing)
  }
  await Promise.all(Array.from({ length: Math.min(syncsAtOnce, things.length) }, worker))
}

const withParents = (folders: readonly string[], top: string): string[] =>
  folders.length === 0 ? [] : [...new Set([...folders, ...folders.map((folder) => join(folder, '..')), top])]
