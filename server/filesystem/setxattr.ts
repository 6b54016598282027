import { FsError } from '../../proto/errno.ts'
import type { Caller, Setxattr } from '../../proto/generated/file-service.ts'
import { type Xattr, xattrsLength } from '../store/records.ts'
import { Draft } from './draft.ts'
import { changeInode, done, loadInode } from './inode.ts'
import type { At, Outcome } from './outcome.ts'
import type { View } from './view.ts'
import * as xattrs from './xattrs.ts'

/** Source: include/uapi/linux/xattr.h. */
export const setxattrFlags = { create: 1, replace: 2 } as const

/** @throws FsError ESTALE, EINVAL (flags), E2BIG, EEXIST (CREATE), ENODATA (REPLACE), ENOSPC, and as `demandXattr` */
export function setxattr(view: View, caller: Caller, op: Setxattr, at: At): Outcome {
  const inode = loadInode(view, op.ino)
  if ((op.flags & ~(setxattrFlags.create | setxattrFlags.replace)) !== 0) {
    throw new FsError('EINVAL', 'unknown flags', { flags: op.flags })
  }
  xattrs.checkXattrName(op.name)
  if (op.value.length > xattrs.xattrValueBytesMax) {
    throw new FsError('E2BIG', `a value has at most ${xattrs.xattrValueBytesMax} bytes`, { length: op.value.length })
  }
  xattrs.demandXattr(inode, caller, op.name, 'write')
  const old = xattrs.loadXattrs(view, op.ino)
  const index = xattrs.indexOf(old, op.name)
  if (index >= 0 && (op.flags & setxattrFlags.create) !== 0)
    throw new FsError('EEXIST', 'the attribute is there already')
  if (index < 0 && (op.flags & setxattrFlags.replace) !== 0) throw new FsError('ENODATA', 'there is no such attribute')
  // As ext4: nothing changes, and no time is noted.
  if (old[index] !== undefined && op.value.equals(old[index].value)) return { reply: done, effects: [] }
  const one = { name: op.name, value: op.value }
  const next = index < 0 ? [...old, one] : old.with(index, one)
  demandRoom(next)

  const draft = new Draft(view)
  xattrs.saveXattrs(draft, op.ino, next)
  changeInode(draft, op.ino, inode, { ctimeNs: at.nowNs })
  return { reply: done, effects: draft.effects() }
}

function demandRoom(next: readonly Xattr[]): void {
  const listed = next.reduce((sum, { name }) => sum + name.length + 1, 0)
  if (xattrsLength(next) > xattrs.xattrsBytesMax || listed > xattrs.xattrListBytesMax) {
    throw new FsError('ENOSPC', 'an inode has no room for so many attributes', { listed })
  }
}
