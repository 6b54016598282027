import { FsError } from '../../proto/errno.ts'
import type { Caller, Rmdir } from '../../proto/generated/file-service.ts'
import { changeDirectory, demandName, removeName, searchable } from './directory.ts'
import { Draft } from './draft.ts'
import { done, loadInode } from './inode.ts'
import { checkName, isDot, isDotDot } from './name.ts'
import type { At, Outcome } from './outcome.ts'
import { demandEmpty, demandRemovable, dropLink } from './removal.ts'
import type { View } from './view.ts'

/** @throws FsError ESTALE, ENOTDIR, EACCES, ENAMETOOLONG, EINVAL (`.` too), ENOENT, EPERM (sticky), ENOTEMPTY (`..` too) */
export function rmdir(view: View, caller: Caller, op: Rmdir, at: At): Outcome {
  const directory = searchable(view, caller, op.parent)
  checkName(op.name)
  if (isDot(op.name)) throw new FsError('EINVAL', 'a directory cannot be removed as "."')
  if (isDotDot(op.name)) throw new FsError('ENOTEMPTY', 'a directory above is never empty')
  const { ino } = demandName(view, op.parent, op.name)
  const inode = loadInode(view, ino)
  demandRemovable(view, directory, inode, caller, 'directory')
  demandEmpty(inode)

  const draft = new Draft(view)
  removeName(draft, op.parent, op.name)
  changeDirectory(draft, op.parent, { names: -1, directories: -1, nowNs: at.nowNs })
  dropLink(draft, ino, inode, at.nowNs)
  return { reply: done, effects: draft.effects() }
}
