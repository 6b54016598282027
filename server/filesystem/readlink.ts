import { FsError } from '../../proto/errno.ts'
import type { Caller, Readlink } from '../../proto/generated/file-service.ts'
import { typeSymlink } from '../store/records.ts'
import { dataReply, loadInode } from './inode.ts'
import { typeOf } from './mode.ts'
import type { Outcome } from './outcome.ts'
import type { View } from './view.ts'

/** @throws FsError ESTALE, EINVAL (not a symlink) */
export function readlink(view: View, _caller: Caller, op: Readlink): Outcome {
  const inode = loadInode(view, op.ino)
  if (typeOf(inode) !== typeSymlink) throw new FsError('EINVAL', 'it is not a symbolic link', { ino: op.ino })
  return { reply: dataReply(inode.target), effects: [] }
}
