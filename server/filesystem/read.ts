import { FsError } from '../../proto/errno.ts'
import type { Caller, Read } from '../../proto/generated/file-service.ts'
import { inlineContents } from './contents.ts'
import { dataReply, loadInode } from './inode.ts'
import { isDirectory, isRegular } from './mode.ts'
import type { Outcome } from './outcome.ts'
import type { View } from './view.ts'

/** What one read gives at most, whatever a client asks for: as much as a kernel does. */
export const readBytesMax = 1 << 20
const nothing = new Uint8Array(0)

/** Rights were checked when it was opened. Short at the end of the file, and beyond `readBytesMax`. @throws FsError ESTALE, EISDIR, EINVAL */
export function read(view: View, _caller: Caller, op: Read): Outcome {
  const inode = loadInode(view, op.ino)
  if (isDirectory(inode)) throw new FsError('EISDIR', 'a directory is read with readdir', { ino: op.ino })
  if (!isRegular(inode)) throw new FsError('EINVAL', 'it has no contents here', { ino: op.ino })
  if (op.offset >= BigInt(inode.size)) return { reply: dataReply(nothing), effects: [] }
  const offset = Number(op.offset)
  const length = Math.min(op.length, readBytesMax, inode.size - offset)
  if (inode.blob !== 0n) {
    return { reply: dataReply(nothing), effects: [], blobRead: { blob: inode.blob, offset, length } }
  }
  return { reply: dataReply(inlineContents(view, op.ino).subarray(offset, offset + length)), effects: [] }
}
