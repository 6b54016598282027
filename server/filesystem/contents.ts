import { contentsKey } from '../store/keys.ts'
import { contentsFrame, decodeContents, type Inode } from '../store/records.ts'
import { bodyAt, frameBytes, seal } from '../store/seal.ts'
import type { Draft } from './draft.ts'
import type { View } from './view.ts'

/** Bytes of a file, at most: ext4's limit with blocks of 4 KiB. */
export const sizeBytesMax = 2 ** 44 - 4096

/**
 * A file up to so long stands inline, in a value of its own; one that grows beyond moves to a blob and stays there until
 * it is emptied. A blob is always exactly as long as its file, so nothing from before a truncation can come back.
 */
export const inlineBytesMax = 4096

/** A file's place and length after a change. */
type Extent = Pick<Inode, 'size' | 'blob'>

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
    return { size, blob: inode.blob }
  }
  if (size > inlineBytesMax) {
    const overwritten = offset === 0 && data.length >= inode.size
    const blob = leaveInline(draft, ino, inode, { keep: !overwritten })
    draft.blob({ kind: 'blob.write', blob, offset, data })
    return { size, blob }
  }
  const value = resized(draft, ino, size)
  value.set(data, bodyAt + offset)
  draft.put(contentsKey(ino), seal(value))
  return { size, blob: 0n }
}

/** Makes the file `size` bytes long, at most `sizeBytesMax`. What it grows by is zeros. */
export function truncateContents(draft: Draft, ino: bigint, inode: Inode, size: number): Extent {
  if (inode.blob !== 0n) {
    if (size === 0) draft.blob({ kind: 'blob.delete', blob: inode.blob })
    else draft.blob({ kind: 'blob.truncate', blob: inode.blob, size })
    return { size, blob: size === 0 ? 0n : inode.blob }
  }
  if (size > inlineBytesMax) {
    const blob = leaveInline(draft, ino, inode, { keep: true })
    draft.blob({ kind: 'blob.truncate', blob, size })
    return { size, blob }
  }
  if (size > 0) draft.put(contentsKey(ino), seal(resized(draft, ino, size)))
  else if (inode.size > 0) draft.delete(contentsKey(ino))
  return { size, blob: 0n }
}

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
