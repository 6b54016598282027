import { FsError } from '../../proto/errno.ts'
import type { Caller, Setxattr } from '../../proto/generated/file-service.ts'
import { type Xattr, xattrsLength } from '../store/records.ts'
import { Draft } from './draft.ts'
import { changeInode, done, loadInode } from './inode.ts'
import type { At, Outcome } from './outcome.ts'
import { setAcl } from './set-acl.ts'
import type { View } from './view.ts'
import { indexOf, loadXattrs, saveXattrs, withXattr } from './xattr-record.ts'
import * as xattrs from './xattrs.ts'

/** Source: include/uapi/linux/xattr.h. */
export const setxattrFlags = { create: 1, replace: 2 } as const

/** @throws FsError ESTALE, EINVAL (flags), E2BIG, EEXIST, ENODATA, ENOSPC, and as `demandXattr` and `setAcl` */
export function setxattr(view: View, caller: Caller, op: Setxattr, at: At): Outcome {
  const inode = loadInode(view, op.ino)
  if ((op.flags & ~(setxattrFlags.create | setxattrFlags.replace)) !== 0) {
    throw new FsError('EINVAL', 'unknown flags', { flags: op.flags })
  }
  xattrs.checkXattrName(op.name)
  if (op.value.length > xattrs.xattrValueBytesMax) {
    throw new FsError('E2BIG', `a value has at most ${xattrs.xattrValueBytesMax} bytes`, { length: op.value.length })
  }
  const node = { ino: op.ino, inode }
  xattrs.demandXattr(view, node, caller, op.name, 'write')
  const old = loadXattrs(view, op.ino)
  const same = old[indexOf(old, op.name)]
  if (same !== undefined && (op.flags & setxattrFlags.create) !== 0) {
    throw new FsError('EEXIST', 'the attribute is there already')
  }
  if (same === undefined && (op.flags & setxattrFlags.replace) !== 0) {
    throw new FsError('ENODATA', 'there is no such attribute')
  }
  // As ext4: nothing changes, and no time is noted.
  if (same !== undefined && op.value.equals(same.value)) return { reply: done, effects: [] }

  const draft = new Draft(view)
  const aclName = xattrs.aclNameOf(op.name)
  let { mode } = inode
  if (aclName !== undefined) mode = setAcl(draft, node, caller, aclName, op.value)
  else saveXattrs(draft, op.ino, withXattr(old, { name: op.name, value: op.value }))
  demandRoom(loadXattrs(draft, op.ino))
  changeInode(draft, op.ino, inode, { mode, ctimeNs: at.nowNs })
  return { reply: done, effects: draft.effects() }
}

function demandRoom(next: readonly Xattr[]): void {
  const listed = next.reduce((sum, { name }) => sum + name.length + 1, 0)
  if (xattrsLength(next) > xattrs.xattrsBytesMax || listed > xattrs.xattrListBytesMax) {
    throw new FsError('ENOSPC', 'an inode has no room for so many attributes', { listed })
  }
}
