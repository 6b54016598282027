import { FsError } from '../../proto/errno.ts'
import type { Caller, Removexattr } from '../../proto/generated/file-service.ts'
import { Draft } from './draft.ts'
import { changeInode, done, loadInode } from './inode.ts'
import type { At, Outcome } from './outcome.ts'
import type { View } from './view.ts'
import { demandXattr, indexOf, loadXattrs, saveXattrs } from './xattrs.ts'

/** @throws FsError ESTALE, ENODATA (none of that name), and as `demandXattr` */
export function removexattr(view: View, caller: Caller, op: Removexattr, at: At): Outcome {
  const inode = loadInode(view, op.ino)
  demandXattr(inode, caller, op.name, 'write')
  const old = loadXattrs(view, op.ino)
  const index = indexOf(old, op.name)
  if (index < 0) throw new FsError('ENODATA', 'there is no such attribute', { ino: op.ino })

  const draft = new Draft(view)
  saveXattrs(draft, op.ino, old.toSpliced(index, 1))
  changeInode(draft, op.ino, inode, { ctimeNs: at.nowNs })
  return { reply: done, effects: draft.effects() }
}
