import { FsError } from '../../proto/errno.ts'
import type { Caller, Unlink } from '../../proto/generated/file-service.ts'
import { changeDirectory, demandName, removeName, searchable } from './directory.ts'
import { Draft } from './draft.ts'
import { done, loadInode } from './inode.ts'
import { checkName, isDot, isDotDot } from './name.ts'
import type { At, Outcome } from './outcome.ts'
import { demandRemovable, dropLink } from './removal.ts'
import type { View } from './view.ts'

/** @throws FsError ESTALE, ENOTDIR, EACCES, ENAMETOOLONG, EINVAL, ENOENT, EPERM (sticky), EISDIR */
export function unlink(view: View, caller: Caller, op: Unlink, at: At): Outcome {
  const directory = searchable(view, caller, op.parent)
  checkName(op.name)
  if (isDot(op.name) || isDotDot(op.name)) throw new FsError('EISDIR', 'it is a directory', { parent: op.parent })
  const { ino } = demandName(view, op.parent, op.name)
  const inode = loadInode(view, ino)
  demandRemovable(view, directory, inode, caller, 'other')

  const draft = new Draft(view)
  removeName(draft, op.parent, op.name)
  changeDirectory(draft, op.parent, { names: -1, directories: 0, nowNs: at.nowNs })
  dropLink(draft, ino, inode, at.nowNs)
  return { reply: done, effects: draft.effects() }
}
