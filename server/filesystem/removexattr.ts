import { FsError } from '../../proto/errno.ts'
import type { Caller, Removexattr } from '../../proto/generated/file-service.ts'
import { Draft } from './draft.ts'
import { changeInode, done, loadInode } from './inode.ts'
import type { At, Outcome } from './outcome.ts'
import type { View } from './view.ts'
import { loadXattrs, saveXattrs, withoutXattr } from './xattr-record.ts'
import { aclNameOf, demandXattr } from './xattrs.ts'

/** @throws FsError ESTALE, ENODATA (none of that name), and as `demandXattr` */
export function removexattr(view: View, caller: Caller, op: Removexattr, at: At): Outcome {
  const inode = loadInode(view, op.ino)
  demandXattr(view, { ino: op.ino, inode }, caller, op.name, 'write')
  const old = loadXattrs(view, op.ino)
  const rest = withoutXattr(old, op.name)
  if (rest.length === old.length) {
    // The access ACL is there in any case: as the mode.
    if (aclNameOf(op.name) !== undefined) return { reply: done, effects: [] }
    throw new FsError('ENODATA', 'there is no such attribute', { ino: op.ino })
  }

  const draft = new Draft(view)
  saveXattrs(draft, op.ino, rest)
  changeInode(draft, op.ino, inode, { ctimeNs: at.nowNs })
  return { reply: done, effects: draft.effects() }
}
