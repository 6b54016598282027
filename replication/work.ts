import type { Key, Seq } from '../proto/ids.ts'

/** A run of bytes of one blob. `blob` names an inode's contents; `length` in bytes. */
export interface BlobRange {
  readonly blob: bigint
  readonly offset: number
  readonly length: number
}

/** What one side changed since some position: keys, and ranges of blobs; or it is no longer known, so everything. */
export interface Touched {
  readonly everything: boolean
  readonly keys: readonly Key[]
  readonly ranges: readonly BlobRange[]
}

/**
 * One piece of state to bring over or to compare, small enough for one slice.
 * - `keys`: these keys, present or absent
 * - `keyRange`: all replicated keys in [from, to); `to` undefined means to the end
 * - `range`: bytes of one blob, with the blob's size (a blob that is gone has size 0); at most `sliceBytesMax`
 * - `blobRange`: which blobs exist, and how long they are, in [from, to)
 */
export type WorkItem =
  | { readonly kind: 'keys'; readonly keys: readonly Key[] }
  | { readonly kind: 'keyRange'; readonly from: Key; readonly to: Key | undefined }
  | ({ readonly kind: 'range' } & BlobRange)
  | { readonly kind: 'blobRange'; readonly from: bigint; readonly to: bigint | undefined }

/** An item and what the asker has of it: only what differs is sent. Made by `Storage.describe`. */
export interface Wanted {
  readonly item: WorkItem
  /** Digests in the order the storage defines for the item's kind; empty when the asker wants it unconditionally. */
  readonly digests: Uint8Array
}

/** Present state of an item at the primary, read at position `at` (S13). Opaque but for what counts progress. */
export interface Slice {
  readonly at: Seq
  readonly item: WorkItem
  /** Encoded effects that make the receiver equal, as in an entry's body; and what is left of the item, if it was cut short. */
  readonly body: Uint8Array
  readonly rest: WorkItem | undefined
  /** Bytes of contents moved, for progress; 0 when everything was equal already. */
  readonly movedBytes: number
  /** Set when the source's own checksum failed: an alarm, not a source (R38). */
  readonly damaged: boolean
}

/** Bytes of contents in one slice, at most. */
export const sliceBytesMax = 1 << 20
/** Keys in one slice, at most. */
export const sliceKeysMax = 1000

/** What is on the disk of a member that is not in sync (R36); it outlives the process. */
export interface ResyncMark {
  /** Items not yet brought over, in order. */
  readonly remaining: readonly WorkItem[]
  readonly progress: Progress
}

export interface Progress {
  readonly bytesDone: number
  readonly bytesTotal: number
  readonly itemsDone: number
  readonly itemsTotal: number
}

/** Everything there is, in two items. */
export const everything: readonly WorkItem[] = [
  { kind: 'keyRange', from: '' as Key, to: undefined },
  { kind: 'blobRange', from: 0n, to: undefined },
]

/** What was touched, cut into items that fit a slice each. */
export function workFor(touched: Touched): readonly WorkItem[] {
  if (touched.everything) return everything
  const items: WorkItem[] = []
  for (let i = 0; i < touched.keys.length; i += sliceKeysMax) {
    items.push({ kind: 'keys', keys: touched.keys.slice(i, i + sliceKeysMax) })
  }
  for (const { blob, offset, length } of disjoint(touched.ranges)) {
    for (let done = 0; done < length; done += sliceBytesMax) {
      items.push({ kind: 'range', blob, offset: offset + done, length: Math.min(sliceBytesMax, length - done) })
    }
  }
  return items
}

/** The same bytes, each in one range only: what overlaps or touches is joined. */
function disjoint(ranges: readonly BlobRange[]): readonly BlobRange[] {
  const sorted = ranges.toSorted((a, b) => (a.blob === b.blob ? a.offset - b.offset : a.blob < b.blob ? -1 : 1))
  const joined: { blob: bigint; offset: number; length: number }[] = []
  for (const range of sorted) {
    const last = joined.at(-1)
    if (last === undefined || last.blob !== range.blob || range.offset > last.offset + last.length) {
      joined.push({ ...range })
    } else last.length = Math.max(last.length, range.offset + range.length - last.offset)
  }
  return joined
}
