import { crc32 } from 'node:zlib'
import type { Epoch, Seq } from '../../proto/ids.ts'
import type { Mark } from '../../replication/entry.ts'

/**
 * One record of a journal segment:
 *
 *     u32 length of what follows after the digest   u32 digest (crc32) of that   u8 kind   ...
 *     kind 1, an entry:  u48 epoch  u48 seq  u32 chain  u32 check  u32 body length  u32 chunk  u32 offset in it  head
 *     kind 2, a note:    u48 committed
 *     kind 3, a carry:   a body (body.ts) of puts and deletes, not for the journal's readers
 *
 * `check` is the crc32 of the whole body. A body that is longer than the head has its tail in staging.
 */
export type JournalRecord =
  | EntryRecord
  /** Everything up to `committed` is committed, and its blob ranges are written: staging may have been used again. */
  | { readonly kind: 'note'; readonly committed: Seq }
  | { readonly kind: 'carry'; readonly body: Buffer }

export interface EntryRecord {
  readonly kind: 'entry'
  readonly mark: Mark
  readonly check: number
  readonly bodyLength: number
  readonly place: Place
  readonly head: Buffer
}

/** Where in staging a tail is. */
export interface Place {
  readonly chunk: number
  readonly offset: number
}

export const nowhere: Place = { chunk: 0, offset: 0 }

const frameBytes = 8
const entryHeadBytes = 1 + 6 + 6 + 4 + 4 + 4 + 4 + 4
/** Bytes of an entry's record before its head. */
export const entryFrameBytes = frameBytes + entryHeadBytes
/** No record is longer; a length above it is damage. */
const recordBytesMax = 1 << 30

/** What stands before the head. `target` has room for it at 0; the digest is filled in too. */
export function frameEntry(
  target: Buffer,
  mark: Mark,
  body: { check: number; length: number },
  place: Place,
  head: Uint8Array,
): void {
  target.writeUInt32BE(entryHeadBytes + head.length, 0)
  target[8] = 1
  target.writeUIntBE(mark.epoch, 9, 6)
  target.writeUIntBE(mark.seq, 15, 6)
  target.writeUInt32BE(mark.chain >>> 0, 21)
  target.writeUInt32BE(body.check >>> 0, 25)
  target.writeUInt32BE(body.length, 29)
  target.writeUInt32BE(place.chunk, 33)
  target.writeUInt32BE(place.offset, 37)
  const ofFrame = crc32(target.subarray(frameBytes, entryFrameBytes))
  target.writeUInt32BE(head.length === 0 ? ofFrame : crc32(head, ofFrame), 4) // of no bytes zlib forgets the first part
}

export function noteRecord(committed: Seq): Buffer {
  const record = Buffer.alloc(frameBytes + 7)
  record[8] = 2
  record.writeUIntBE(committed, 9, 6)
  return closeFrame(record)
}

export function carryRecord(body: Uint8Array): Buffer {
  const record = Buffer.allocUnsafe(frameBytes + 1 + body.length)
  record[8] = 3
  record.set(body, 9)
  return closeFrame(record)
}

function closeFrame(record: Buffer): Buffer {
  record.writeUInt32BE(record.length - frameBytes, 0)
  record.writeUInt32BE(crc32(record.subarray(frameBytes)), 4)
  return record
}

/**
 * The record at `at`, and where the next begins.
 * - `short`: the bytes end within it; with more bytes it may be whole (`need` says how many from `at` on)
 * - `bad`: this can't be a record, or its digest does not fit
 */
export type Parsed =
  | { readonly outcome: 'record'; readonly record: JournalRecord; readonly next: number }
  | { readonly outcome: 'short'; readonly need: number }
  | { readonly outcome: 'bad' }

export function parseRecord(bytes: Buffer, at: number): Parsed {
  if (bytes.length - at < frameBytes) return { outcome: 'short', need: frameBytes }
  const length = bytes.readUInt32BE(at)
  if (length === 0 || length > recordBytesMax) return { outcome: 'bad' }
  const from = at + frameBytes
  const next = from + length
  if (next > bytes.length) return { outcome: 'short', need: frameBytes + length }
  if (crc32(bytes.subarray(from, next)) !== bytes.readUInt32BE(at + 4)) return { outcome: 'bad' }
  const record = recordIn(bytes.subarray(from, next))
  return record === undefined ? { outcome: 'bad' } : { outcome: 'record', record, next }
}

function recordIn(bytes: Buffer): JournalRecord | undefined {
  if (bytes[0] === 1 && bytes.length >= entryHeadBytes) {
    const mark: Mark = {
      epoch: bytes.readUIntBE(1, 6) as Epoch,
      seq: bytes.readUIntBE(7, 6) as Seq,
      chain: bytes.readUInt32BE(13),
    }
    const place = { chunk: bytes.readUInt32BE(25), offset: bytes.readUInt32BE(29) }
    const head = bytes.subarray(entryHeadBytes)
    return { kind: 'entry', mark, check: bytes.readUInt32BE(17), bodyLength: bytes.readUInt32BE(21), place, head }
  }
  if (bytes[0] === 2 && bytes.length === 7) return { kind: 'note', committed: bytes.readUIntBE(1, 6) as Seq }
  if (bytes[0] === 3) return { kind: 'carry', body: bytes.subarray(1) }
  return undefined
}
