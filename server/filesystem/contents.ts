import type { Run } from '../store/holes-record.ts'
import { contentsKey } from '../store/keys.ts'
import { blobBytesMax } from '../store/longest-blob.ts'
import { contentsFrame, decodeContents, type Inode } from '../store/records.ts'
import { bodyAt, frameBytes, seal } from '../store/seal.ts'
import type { Draft } from './draft.ts'
import {
  blocksOf,
  holeBlockBytes,
  holesAfterResize,
  holesAfterWrite,
  loadHoles,
  saveHoles,
  without,
  withRun,
} from './holes.ts'
import type { View } from './view.ts'

/** Bytes of a file, at most: what every member can hold. */
export const sizeBytesMax = blobBytesMax

/**
 * A file up to so long stands inline, in a value of its own; one that grows beyond moves to a blob and stays there until
 * it is emptied. A blob is always exactly as long as its file, so nothing from before a truncation can come back.
 */
export const inlineBytesMax = 4096

/** A file's place, length and number of holes after a change. */
type Extent = Pick<Inode, 'size' | 'blob' | 'holes'>

/** All contents of a file without a blob. */
export function inlineContents(view: View, ino: bigint): Uint8Array {
  const value = view.get(contentsKey(ino))
  return value === undefined ? new Uint8Array(0) : decodeContents(value)
}

/** `data` is not empty; it ends within `sizeBytesMax`. A gap before it becomes zeros. */
export function writeContents(draft: Draft, ino: bigint, inode: Inode, offset: number, data: Uint8Array): Extent {
  const size = Math.max(inode.size, offset + data.length)
  if (inode.blob !== 0n) {
    draft.blob({ kind: 'blob.write', blob: inode.blob, offset, data })
    return { size, blob: inode.blob, holes: holesAfterWrite(draft, ino, inode, offset, offset + data.length) }
  }
  if (size > inlineBytesMax) {
    const overwritten = offset === 0 && data.length >= inode.size
    const blob = leaveInline(draft, ino, inode, { keep: !overwritten })
    draft.blob({ kind: 'blob.write', blob, offset, data })
    return { size, blob, holes: holesAfterWrite(draft, ino, inode, offset, offset + data.length) }
  }
  const value = resized(draft, ino, size)
  value.set(data, bodyAt + offset)
  draft.put(contentsKey(ino), seal(value))
  return { size, blob: 0n, holes: 0 }
}

/** Makes the file `size` bytes long, at most `sizeBytesMax`. What it grows by is zeros. */
export function truncateContents(draft: Draft, ino: bigint, inode: Inode, size: number): Extent {
  if (inode.blob !== 0n) {
    if (size === 0) draft.blob({ kind: 'blob.delete', blob: inode.blob })
    else draft.blob({ kind: 'blob.truncate', blob: inode.blob, size })
    return { size, blob: size === 0 ? 0n : inode.blob, holes: holesAfterResize(draft, ino, inode, size) }
  }
  if (size > inlineBytesMax) {
    const blob = leaveInline(draft, ino, inode, { keep: true })
    draft.blob({ kind: 'blob.truncate', blob, size })
    return { size, blob, holes: holesAfterResize(draft, ino, inode, size) }
  }
  if (size > 0) draft.put(contentsKey(ino), seal(resized(draft, ino, size)))
  else if (inode.size > 0) draft.delete(contentsKey(ino))
  return { size, blob: 0n, holes: 0 }
}

/** [offset, end), as far as it is in the file, are zeros from now on; whole blocks of a blob are holes. */
export function zeroContents(draft: Draft, ino: bigint, inode: Inode, offset: number, end: number): Extent {
  const { size, blob } = inode
  const to = Math.min(end, size)
  if (offset >= to) return { size, blob, holes: inode.holes }
  if (blob === 0n) {
    const value = resized(draft, ino, size)
    value.fill(0, bodyAt + offset, bodyAt + to)
    draft.put(contentsKey(ino), seal(value))
    return { size, blob, holes: 0 }
  }
  const holes = loadHoles(draft, ino, inode)
  const data = without([[offset, to]], ...holes.map(inBytes))
  if (data.length === 0) return { size, blob, holes: inode.holes }
  if (to === size) {
    // So every file system gives the room back.
    draft.blob({ kind: 'blob.truncate', blob, size: offset })
    draft.blob({ kind: 'blob.truncate', blob, size })
  } else for (const [from, until] of data) draft.blob({ kind: 'blob.zero', blob, offset: from, count: until - from })
  const last = to === size ? blocksOf(to) : Math.floor(to / holeBlockBytes)
  return { size, blob, holes: saveHoles(draft, ino, inode, withRun(holes, [blocksOf(offset), last])) }
}

const inBytes = ([from, to]: Run): Run => [from * holeBlockBytes, to * holeBlockBytes]

/** From now on the contents are in the inode's blob, which has its number. */
function leaveInline(draft: Draft, ino: bigint, inode: Inode, how: { readonly keep: boolean }): bigint {
  if (inode.size === 0) return ino
  if (how.keep) draft.blob({ kind: 'blob.write', blob: ino, offset: 0, data: inlineContents(draft, ino) })
  draft.delete(contentsKey(ino))
  return ino
}

/** The inline contents cut, or filled up with zeros; not sealed yet. */
function resized(view: View, ino: bigint, size: number): Buffer {
  const old = inlineContents(view, ino)
  const value = contentsFrame(size)
  const kept = Math.min(old.length, size)
  value.set(kept === old.length ? old : old.subarray(0, kept), bodyAt)
  return value.fill(0, bodyAt + kept, value.length - (frameBytes - bodyAt))
}
