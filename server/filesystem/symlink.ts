import { FsError } from '../../proto/errno.ts'
import type { Caller, Symlink } from '../../proto/generated/file-service.ts'
import { targetBytesMax, typeSymlink } from '../store/records.ts'
import { Draft } from './draft.ts'
import { entryReply } from './inode.ts'
import { directoryForNew, makeInode } from './new-inode.ts'
import type { At, Outcome } from './outcome.ts'
import type { View } from './view.ts'

/** @throws FsError as `directoryForNew`; ENOENT (empty target), ENAMETOOLONG (target), EINVAL (NUL in it), ENOSPC */
export function symlink(view: View, caller: Caller, op: Symlink, at: At): Outcome {
  if (op.target.length === 0) throw new FsError('ENOENT', 'a symbolic link must lead somewhere')
  if (op.target.length > targetBytesMax) throw new FsError('ENAMETOOLONG', 'the target is longer than a path may be')
  if (op.target.includes(0)) throw new FsError('EINVAL', 'the target contains a NUL')
  const directory = directoryForNew(view, caller, op.parent, op.name)
  const draft = new Draft(view)
  const made = { type: typeSymlink, bits: 0o777, target: op.target, ino: op.newIno }
  const { ino, inode } = makeInode(draft, caller, directory, op.name, made, at.nowNs)
  return { reply: entryReply(ino, inode), effects: draft.effects() }
}
