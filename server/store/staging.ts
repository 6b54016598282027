import assert from 'node:assert'
import { closeSync, constants, fdatasync, mkdirSync, openSync, readdirSync, unlinkSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Seq } from '../../proto/ids.ts'
import { isFull, readAll, syncDirectory, writeAll } from './file-io.ts'
import type { Place } from './journal-record.ts'
import { Rounds } from './rounds.ts'

/** One file of staging. Filled from its beginning; when nothing in it is needed any more, from its beginning again. */
interface Chunk {
  readonly id: number
  readonly path: string
  readonly fd: number
  /** Where the next payload goes. */
  end: number
  /** Payloads in it that are still needed. */
  live: number
  unsynced: boolean
  syncing: boolean
}

/** A payload that is still needed. */
interface Extent {
  readonly seq: Seq
  readonly chunk: Chunk
  readonly bytes: number
}

/** Chunks that nobody needs are kept for the next payloads, so many of them; more are deleted. */
const freeChunksMax = 4
const datasync = promisify(fdatasync)
const { O_RDWR, O_CREAT } = constants

/**
 * Where big payloads are between append and the level batch that has made them state (S10): safe from kill -9, and, as
 * the same few files are written over and over, in the page cache only: the disk sees them when somebody syncs, or once
 * in a while. Payloads come, and are let go, in the order of their entries.
 */
export class Staging {
  readonly #dir: string
  readonly #chunkBytes: number
  readonly #chunks = new Map<number, Chunk>()
  /** Those without anything needed, the last one let go at the end: its pages are most likely in the cache. */
  readonly #free: Chunk[] = []
  readonly #rounds = new Rounds(() => this.#syncRound())
  #current: Chunk | undefined
  /** invariant: ascending by seq; `#first` of them are let go already */
  #extents: Extent[] = []
  #first = 0
  #bytes = 0
  #nextId = 1
  #dirUnsynced = true

  private constructor(dir: string, chunkBytes: number) {
    this.#dir = dir
    this.#chunkBytes = chunkBytes
  }

  static open(dir: string, chunkBytes: number): Staging {
    mkdirSync(dir, { recursive: true })
    const staging = new Staging(dir, chunkBytes)
    for (const name of readdirSync(dir)) staging.#free.push(staging.#openChunk(Number(name)))
    return staging
  }

  /** Bytes of payloads that are still needed. */
  get bytes(): number {
    return this.#bytes
  }

  get failed(): boolean {
    return this.#rounds.failed
  }

  /** After `open`, in the order of the entries: this payload is still needed. */
  adopt(seq: Seq, place: Place, bytes: number): void {
    const chunk = this.#chunks.get(place.chunk)
    if (chunk === undefined) return
    const free = this.#free.indexOf(chunk)
    if (free >= 0) this.#free.splice(free, 1)
    chunk.end = Math.max(chunk.end, place.offset + bytes)
    this.#keep({ seq, chunk, bytes })
  }

  put(seq: Seq, payload: Uint8Array): Place | 'full' {
    try {
      const chunk = this.#roomFor(payload.length)
      const place = { chunk: chunk.id, offset: chunk.end }
      writeAll(chunk.fd, payload, chunk.end)
      chunk.end += payload.length
      chunk.unsynced = true
      this.#keep({ seq, chunk, bytes: payload.length })
      return place
    } catch (error) {
      if (isFull(error)) return 'full'
      throw error
    }
  }

  /** Whatever is there now; whether it is still that payload, its entry's check tells. Short or empty if it is gone. */
  read(place: Place, bytes: number): Buffer {
    const chunk = this.#chunks.get(place.chunk)
    return chunk === undefined ? Buffer.alloc(0) : readAll(chunk.fd, bytes, place.offset)
  }

  /** Payloads of entries up to `through` are not needed any more. */
  release(through: Seq): void {
    for (let extent = this.#extents[this.#first]; extent !== undefined && extent.seq <= through; ) {
      this.#letGo(extent)
      this.#first++
      extent = this.#extents[this.#first]
    }
    if (this.#first < 1000 && this.#first < this.#extents.length) return
    this.#extents = this.#extents.slice(this.#first)
    this.#first = 0
  }

  /** Entries after `last` are gone. */
  cut(last: Seq): void {
    for (let extent = this.#extents.at(-1); extent !== undefined && extent.seq > last; extent = this.#extents.at(-1)) {
      if (this.#extents.length <= this.#first) return
      this.#extents.pop()
      this.#letGo(extent)
    }
  }

  /** Is a payload of an entry after `after` here? */
  hasAfter(after: Seq): boolean {
    const newest = this.#extents.length > this.#first ? this.#extents.at(-1) : undefined
    return newest !== undefined && newest.seq > after
  }

  /** The oldest entry whose payload is here. */
  get oldest(): Seq | undefined {
    return this.#extents[this.#first]?.seq
  }

  /** What is in it is on the disk afterwards. */
  sync(): Promise<void> {
    return this.#rounds.run()
  }

  /** Deletes the files that nobody needs. */
  shrink(): void {
    const unused = this.#free.splice(0)
    this.#free.push(...unused.filter((chunk) => chunk.syncing))
    for (const chunk of unused) if (!chunk.syncing) this.#delete(chunk)
  }

  close(): void {
    for (const chunk of this.#chunks.values()) closeSync(chunk.fd)
    this.#chunks.clear()
  }

  #keep(extent: Extent): void {
    extent.chunk.live++
    this.#bytes += extent.bytes
    this.#extents.push(extent)
  }

  #letGo({ chunk, bytes }: Extent): void {
    this.#bytes -= bytes
    chunk.live--
    if (chunk.live > 0) return
    chunk.end = 0
    if (chunk !== this.#current) this.#free.push(chunk)
    const surplus = this.#free.length > freeChunksMax ? this.#free.findIndex((free) => !free.syncing) : -1
    if (surplus >= 0) this.#delete(this.#free.splice(surplus, 1)[0])
  }

  #roomFor(bytes: number): Chunk {
    const current = this.#current
    if (current !== undefined && (current.end === 0 || current.end + bytes <= this.#chunkBytes)) return current
    const next = this.#free.pop() ?? this.#openChunk(this.#nextId)
    this.#current = next
    if (current !== undefined && current.live === 0) this.#free.push(current)
    return next
  }

  #openChunk(id: number): Chunk {
    assert(Number.isSafeInteger(id), 'a file in staging that is none of ours')
    const path = join(this.#dir, String(id))
    const chunk: Chunk = {
      id,
      path,
      fd: openSync(path, O_RDWR | O_CREAT),
      end: 0,
      live: 0,
      unsynced: true,
      syncing: false,
    }
    this.#chunks.set(id, chunk)
    this.#nextId = Math.max(this.#nextId, id + 1)
    this.#dirUnsynced = true
    return chunk
  }

  #delete(chunk: Chunk | undefined): void {
    if (chunk === undefined) return
    this.#chunks.delete(chunk.id)
    closeSync(chunk.fd)
    unlinkSync(chunk.path)
  }

  async #syncRound(): Promise<void> {
    const chunks = [...this.#chunks.values()].filter((chunk) => chunk.unsynced && chunk.live > 0)
    for (const chunk of chunks) chunk.unsynced = false
    const dir = this.#dirUnsynced
    this.#dirUnsynced = false
    await Promise.all(chunks.map((chunk) => syncChunk(chunk)))
    if (dir) await syncDirectory(this.#dir)
  }
}

async function syncChunk(chunk: Chunk): Promise<void> {
  chunk.syncing = true
  try {
    await datasync(chunk.fd)
  } finally {
    chunk.syncing = false
  }
}
