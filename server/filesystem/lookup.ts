import type { Caller, Lookup } from '../../proto/generated/file-service.ts'
import { demandName, searchable } from './directory.ts'
import { loadInode } from './inode.ts'
import { checkName, isDot, isDotDot } from './name.ts'
import type { Outcome } from './outcome.ts'
import { shown } from './shown.ts'
import type { View } from './view.ts'

/** One step of a path. @throws FsError ESTALE, ENOTDIR, EACCES, ENOENT, ENAMETOOLONG, EINVAL */
export function lookup(view: View, caller: Caller, op: Lookup): Outcome {
  const directory = searchable(view, caller, op.parent)
  checkName(op.name)
  const ino = isDot(op.name)
    ? op.parent
    : isDotDot(op.name)
      ? directory.inode.parent
      : demandName(view, op.parent, op.name).ino
  return { reply: { $case: 'entry', value: { attributes: shown(view, ino, loadInode(view, ino)) } }, effects: [] }
}
