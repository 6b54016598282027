import assert from 'node:assert'
import { closeSync, fdatasync, ftruncateSync, openSync, renameSync, unlinkSync } from 'node:fs'
import { promisify } from 'node:util'
import { crc32 } from 'node:zlib'
import type { Seq } from '../../proto/ids.ts'
import type { EpochStart, Mark } from '../../replication/entry.ts'
import { readAll, writeAll, writeBoth } from './file-io.ts'
import { type EntryRecord, type JournalRecord, parseRecord } from './journal-record.ts'

/** What a segment begins with, so that it can be understood alone. */
export interface SegmentHeader {
  /** Grows each time the journal is emptied and begins anew. */
  readonly generation: number
  /** The last entry before this segment. */
  readonly base: Mark
  /** All epochs that began at or before `base`. */
  readonly history: readonly EpochStart[]
  readonly committed: Seq
}

const magic = 0x424e594a // BNYJ
const prefixBytes = 12
const readAhead = 1 << 20
const datasync = promisify(fdatasync)

/**
 * One append-only file of the journal: u32 magic, u32 length and u32 crc32 of a header in JSON, then records.
 * Knows where each entry is; what entries mean, and their order, is the journal's business.
 */
export class Segment {
  readonly path: string
  readonly header: SegmentHeader
  readonly #fd: number
  readonly #dataAt: number
  #syncs = 0
  #closing = false
  /** Offsets of the entries base.seq + 1, ...; grows by doubling. */
  #offsets = new Uint32Array(1024)
  #count = 0
  #end: number
  #unsynced = true

  private constructor(path: string, fd: number, header: SegmentHeader, dataAt: number) {
    this.path = path
    this.header = header
    this.#fd = fd
    this.#dataAt = dataAt
    this.#end = dataAt
  }

  /** It appears with its header and `first` records in it, or not at all. */
  static create(path: string, header: SegmentHeader, first: Uint8Array): Segment {
    const text = Buffer.from(JSON.stringify(header))
    const prefix = Buffer.alloc(prefixBytes)
    prefix.writeUInt32BE(magic, 0)
    prefix.writeUInt32BE(text.length, 4)
    prefix.writeUInt32BE(crc32(text), 8)
    const fd = openSync(`${path}.new`, 'w+')
    const dataAt = prefixBytes + text.length
    try {
      writeBoth(fd, prefix, text, 0)
      writeAll(fd, first, dataAt)
      renameSync(`${path}.new`, path)
    } catch (error) {
      closeSync(fd)
      unlinkSync(`${path}.new`)
      throw error
    }
    const segment = new Segment(path, fd, header, dataAt)
    segment.#end += first.length
    return segment
  }

  /** Undefined when the header is damaged or was not wholly written. Entries are found by `scan`. */
  static open(path: string): Segment | undefined {
    const fd = openSync(path, 'r+')
    const prefix = readAll(fd, prefixBytes, 0)
    if (prefix.length === prefixBytes && prefix.readUInt32BE(0) === magic && prefix.readUInt32BE(4) < 1 << 26) {
      const text = readAll(fd, prefix.readUInt32BE(4), prefixBytes)
      if (crc32(text) === prefix.readUInt32BE(8)) {
        return new Segment(path, fd, JSON.parse(text.toString()) as SegmentHeader, prefixBytes + text.length)
      }
    }
    closeSync(fd)
    return undefined
  }

  /** The last entry that stands here, or the base. */
  get last(): Seq {
    return (this.header.base.seq + this.#count) as Seq
  }

  get bytes(): number {
    return this.#end
  }

  /** @throws when the disk is full, and then the file is as before */
  appendEntry(frame: Uint8Array, head: Uint8Array): void {
    this.#write(() =>
      head.length === 0 ? writeAll(this.#fd, frame, this.#end) : writeBoth(this.#fd, frame, head, this.#end),
    )
    this.#remember(this.#end)
    this.#end += frame.length + head.length
  }

  /** A note or carry: a record that is not counted. */
  append(record: Uint8Array): void {
    this.#write(() => writeAll(this.#fd, record, this.#end))
    this.#end += record.length
  }

  /** Forgets all entries after `last`; what stands at their place first is `note`. */
  cut(last: Seq, note: Uint8Array): void {
    const at = this.#offsetOf((last + 1) as Seq)
    if (at === undefined) return
    writeAll(this.#fd, note, at) // before the cut: there is no moment without it
    this.#end = at + note.length
    ftruncateSync(this.#fd, this.#end)
    this.#count = last - this.header.base.seq
    this.#unsynced = true
  }

  /** One entry. The bytes are the caller's. */
  entry(at: Seq): EntryRecord | undefined {
    const from = this.#offsetOf(at)
    if (from === undefined) return undefined
    const to = this.#offsetOf((at + 1) as Seq) ?? this.#end
    const parsed = parseRecord(readAll(this.#fd, to - from, from), 0)
    assert(parsed.outcome === 'record' && parsed.record.kind === 'entry', `${this.path}: entry ${at} is damaged`)
    return parsed.record
  }

  /** The records from an entry on, up to the end or until `take` answers false. */
  records(from: Seq, take: (record: JournalRecord) => boolean, aheadBytes = readAhead): void {
    const at = this.#offsetOf(from)
    if (at !== undefined) this.#walk(at, (record) => take(record), aheadBytes)
  }

  /**
   * Goes through everything, once, after `open`. `take` answers false for a record that can't be: it and what follows
   * is cut away.
   *
   * @returns what was there after the last good record: `nothing`, a record that was `torn` off at the end, or `damage`
   */
  scan(take: (record: JournalRecord) => boolean): 'nothing' | 'torn' | 'damage' {
    const outcome = this.#walk(this.#dataAt, (record, at, next) => {
      if (!take(record)) return false
      if (record.kind === 'entry') this.#remember(at)
      this.#end = next
      return true
    })
    if (outcome !== 'nothing') ftruncateSync(this.#fd, this.#end)
    return outcome
  }

  async sync(): Promise<void> {
    if (!this.#unsynced) return
    this.#unsynced = false
    this.#syncs++
    try {
      await datasync(this.#fd)
    } finally {
      this.#syncs--
      if (this.#closing) this.close()
    }
  }

  get unsynced(): boolean {
    return this.#unsynced
  }

  /** A sync under way is waited for. */
  close(): void {
    this.#closing = true
    if (this.#syncs === 0) closeSync(this.#fd)
  }

  #write(write: () => void): void {
    this.#unsynced = true
    try {
      write()
    } catch (error) {
      ftruncateSync(this.#fd, this.#end)
      throw error
    }
  }

  #offsetOf(at: Seq): number | undefined {
    const index = at - this.header.base.seq - 1
    return index >= 0 && index < this.#count ? this.#offsets[index] : undefined
  }

  #remember(offset: number): void {
    if (this.#count === this.#offsets.length) {
      const grown = new Uint32Array(this.#count * 2)
      grown.set(this.#offsets)
      this.#offsets = grown
    }
    this.#offsets[this.#count++] = offset
  }

  /** `take` answers false: `damage`. Records are views of a buffer of their own that nobody writes again. */
  #walk(
    from: number,
    take: (record: JournalRecord, at: number, next: number) => boolean,
    aheadBytes = readAhead,
  ): 'nothing' | 'torn' | 'damage' {
    let bufferAt = from
    let buffer = readAll(this.#fd, aheadBytes, bufferAt)
    let at = 0
    for (;;) {
      const parsed = parseRecord(buffer, at)
      if (parsed.outcome === 'record') {
        if (!take(parsed.record, bufferAt + at, bufferAt + parsed.next)) return 'damage'
        at = parsed.next
        continue
      }
      if (parsed.outcome === 'bad') return 'damage'
      const left = buffer.length - at
      const more = readAll(this.#fd, Math.max(parsed.need, aheadBytes), bufferAt + at)
      if (more.length <= left) return left === 0 ? 'nothing' : 'torn'
      bufferAt += at
      buffer = more
      at = 0
    }
  }
}
