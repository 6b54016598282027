import { FsError } from '../../proto/errno.ts'
import type { Caller } from '../../proto/generated/file-service.ts'
import { typeSymlink } from '../store/records.ts'
import { demandUnguarded } from './flags.ts'
import type { Node } from './inode.ts'
import { isDirectory, isRegular, mayRead, mayWrite, stickyBit, typeOf } from './mode.ts'
import { demand, demandOwner, isRoot } from './permission.ts'
import type { View } from './view.ts'
import { type AclName, accessAclName, defaultAclName } from './xattr-record.ts'

/** As Linux: XATTR_NAME_MAX, XATTR_SIZE_MAX, XATTR_LIST_MAX. */
export const xattrNameBytesMax = 255
export const xattrValueBytesMax = 65536
export const xattrListBytesMax = 65536
/** All of an inode's in one record: one of the greatest size, and nearly as much besides. */
export const xattrsBytesMax = 128 * 1024

/** @throws FsError ERANGE */
export function checkXattrName(name: Uint8Array): void {
  if (name.length === 0 || name.length > xattrNameBytesMax) {
    throw new FsError('ERANGE', `the name of an attribute has 1 to ${xattrNameBytesMax} bytes`, { length: name.length })
  }
}

/** Those attributes that are ACLs; undefined: any other. */
export function aclNameOf(name: Uint8Array): AclName | undefined {
  const text = Buffer.from(name).toString('latin1')
  return text === accessAclName || text === defaultAclName ? text : undefined
}

type Intent = 'read' | 'write'
const namespaces = ['user.', 'trusted.', 'security.'] as const

/**
 * May the caller read or write the attribute, and can it exist? Source: fs/xattr.c, xattr_permission and
 * xattr_resolve_name; security/commoncap.c, cap_inode_setxattr; fs/posix_acl.c, set_posix_acl and vfs_get_acl.
 *
 * - `user.`: files and directories have them; as the permissions say, and in a sticky directory its owner
 * - `trusted.`: root's alone; for others they are not there
 * - `security.`: all may read, root may write
 * - ACLs: all may read, the owner may write; symbolic links have none, and only directories a default
 *
 * @throws FsError ERANGE (name), EPERM or ENODATA (not for this kind of inode or caller), EACCES, EOPNOTSUPP, EINVAL
 */
export function demandXattr(view: View, node: Node, caller: Caller, name: Uint8Array, intent: Intent): void {
  checkXattrName(name)
  if (intent === 'write') demandUnguarded(node.inode)
  if (aclNameOf(name) !== undefined) return demandAcl(node, caller, intent)
  const text = Buffer.from(name).toString('latin1')
  const namespace = namespaces.find((one) => text.startsWith(one))
  if (namespace === undefined) throw new FsError('EOPNOTSUPP', 'there are no attributes of this namespace')
  const refusal = intent === 'write' ? 'EPERM' : 'ENODATA'
  if (namespace === 'trusted.' && !isRoot(caller)) throw new FsError(refusal, 'trusted attributes are root’s')
  if (namespace === 'security.' && intent === 'write' && !isRoot(caller)) {
    throw new FsError('EPERM', 'only root sets security attributes', { uid: caller.uid })
  }
  if (namespace === 'user.') demandUser(view, node, caller, intent)
  if (text === namespace) throw new FsError('EINVAL', 'the attribute has no name after its namespace')
}

function demandUser(view: View, node: Node, caller: Caller, intent: Intent): void {
  const { inode } = node
  if (!isRegular(inode) && !isDirectory(inode)) {
    throw new FsError(intent === 'write' ? 'EPERM' : 'ENODATA', 'only files and directories have attributes of users')
  }
  if (intent === 'write' && isDirectory(inode) && (inode.mode & stickyBit) !== 0) demandOwner(inode, caller)
  demand(view, node, caller, intent === 'write' ? mayWrite : mayRead)
}

function demandAcl({ inode }: Node, caller: Caller, intent: Intent): void {
  if (typeOf(inode) === typeSymlink) throw new FsError('EOPNOTSUPP', 'a symbolic link has no ACL')
  if (intent === 'write') demandOwner(inode, caller)
}
