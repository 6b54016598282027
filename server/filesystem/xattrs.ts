import { FsError } from '../../proto/errno.ts'
import type { Caller } from '../../proto/generated/file-service.ts'
import { xattrsKey } from '../store/keys.ts'
import { decodeXattrs, encodeXattrs, type Inode, type Xattr } from '../store/records.ts'
import type { Draft } from './draft.ts'
import { isDirectory, isRegular, mayRead, mayWrite, stickyBit } from './mode.ts'
import { demand, demandOwner, isRoot } from './permission.ts'
import type { View } from './view.ts'

/** As Linux: XATTR_NAME_MAX, XATTR_SIZE_MAX, XATTR_LIST_MAX. */
export const xattrNameBytesMax = 255
export const xattrValueBytesMax = 65536
export const xattrListBytesMax = 65536
/** All of an inode's in one record: one of the greatest size, and nearly as much besides. */
export const xattrsBytesMax = 128 * 1024

export function loadXattrs(view: View, ino: bigint): readonly Xattr[] {
  const record = view.get(xattrsKey(ino))
  return record === undefined ? [] : decodeXattrs(record)
}

export function saveXattrs(draft: Draft, ino: bigint, xattrs: readonly Xattr[]): void {
  if (xattrs.length === 0) draft.delete(xattrsKey(ino))
  else draft.put(xattrsKey(ino), encodeXattrs(xattrs))
}

export const indexOf = (xattrs: readonly Xattr[], name: Uint8Array): number =>
  xattrs.findIndex((xattr) => Buffer.compare(xattr.name, name) === 0)

/** @throws FsError ERANGE */
export function checkXattrName(name: Uint8Array): void {
  if (name.length === 0 || name.length > xattrNameBytesMax) {
    throw new FsError('ERANGE', `the name of an attribute has 1 to ${xattrNameBytesMax} bytes`, { length: name.length })
  }
}

/**
 * May the caller read or write the attribute, and can it exist? Only `user.` can, on files and directories. Source:
 * fs/xattr.c, xattr_permission and xattr_resolve_name.
 *
 * @throws FsError ERANGE (name), EPERM or ENODATA (not for this kind of inode or caller), EACCES, EOPNOTSUPP, EINVAL
 */
export function demandXattr(inode: Inode, caller: Caller, name: Uint8Array, intent: 'read' | 'write'): void {
  checkXattrName(name)
  const text = Buffer.from(name).toString('latin1')
  const refusal = intent === 'write' ? 'EPERM' : 'ENODATA'
  if (text.startsWith('trusted.') && !isRoot(caller)) throw new FsError(refusal, 'trusted attributes are root’s')
  if (!text.startsWith('user.')) throw new FsError('EOPNOTSUPP', 'only attributes of user. are kept')
  if (!isRegular(inode) && !isDirectory(inode)) throw new FsError(refusal, 'only files and directories have attributes')
  if (intent === 'write' && isDirectory(inode) && (inode.mode & stickyBit) !== 0) demandOwner(inode, caller)
  demand(inode, caller, intent === 'write' ? mayWrite : mayRead)
  if (text === 'user.') throw new FsError('EINVAL', 'the attribute has no name after its namespace')
}
