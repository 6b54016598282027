import { FsError } from '../../proto/errno.ts'
import type { Caller, Write } from '../../proto/generated/file-service.ts'
import { sizeBytesMax, writeContents } from './contents.ts'
import { Draft } from './draft.ts'
import { demandMutable } from './flags.ts'
import { demandHold, takeHold } from './holds.ts'
import { changeInode, loadInode, written } from './inode.ts'
import { isDirectory, isRegular } from './mode.ts'
import type { At, Outcome } from './outcome.ts'
import { modeAfterWrite } from './privileges.ts'
import type { View } from './view.ts'

/**
 * Rights were checked when it was opened. Short where a file can't grow further. The reply says where the bytes went,
 * which with `append` is the end as it is now, and how long the file is after it. Effects share memory with `op.data`.
 *
 * What was held back is of the time when it returned, which may be before something else changed the inode.
 *
 * @throws FsError ESTALE, EISDIR, EINVAL (not a regular file), EPERM (immutable), EFBIG, EIO (its hold stands no more)
 */
export function write(view: View, caller: Caller, op: Write, at: At): Outcome {
  const inode = loadInode(view, op.ino)
  if (isDirectory(inode)) throw new FsError('EISDIR', 'a directory is not written to', { ino: op.ino })
  if (!isRegular(inode)) throw new FsError('EINVAL', 'it has no contents here', { ino: op.ino })
  if (op.hold !== undefined) demandHold(view, op.ino, op.hold, at)
  demandMutable(inode)
  const offset = op.append ? BigInt(inode.size) : op.offset
  if (op.data.length === 0) return written({ length: 0, offset, size: inode.size, effects: [] })
  if (offset >= BigInt(sizeBytesMax)) throw new FsError('EFBIG', 'a file cannot be that long', { offset })
  const from = Number(offset)
  const data = op.data.subarray(0, sizeBytesMax - from)

  const draft = new Draft(view)
  const mode = modeAfterWrite(draft, { ino: op.ino, inode }, caller, op.killPrivileges)
  const extent = writeContents(draft, op.ino, inode, from, data)
  const { ageNs } = op
  const whenNs = at.nowNs - (ageNs ?? 0n)
  const ctimeNs = ageNs !== undefined && whenNs < inode.ctimeNs ? inode.ctimeNs : whenNs
  changeInode(draft, op.ino, inode, { ...extent, mode, mtimeNs: whenNs, ctimeNs })
  const hold = takeHold(draft, op.ino, op.take, at)
  return written({ length: data.length, offset, size: extent.size, hold, effects: draft.effects() })
}
