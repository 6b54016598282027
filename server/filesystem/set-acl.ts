import { FsError } from '../../proto/errno.ts'
import type { Caller } from '../../proto/generated/file-service.ts'
import { decodeAcl, isMinimal, modeOfAcl } from './acl.ts'
import type { Draft } from './draft.ts'
import type { Node } from './inode.ts'
import { isDirectory, setGid } from './mode.ts'
import { mayKeepSetGid } from './permission.ts'
import {
  type AclName,
  aclXattr,
  defaultAclName,
  loadXattrs,
  saveXattrs,
  withoutXattr,
  withXattr,
} from './xattr-record.ts'

/**
 * Sets an ACL, or with no entries takes it away; says the mode that the inode then has. The access ACL is also in the
 * permission bits, and only there if they can say all of it; who sets one for a group it is not in loses set-gid.
 * Source: fs/posix_acl.c, posix_acl_update_mode and set_posix_acl.
 *
 * @throws FsError EINVAL and EOPNOTSUPP (value), EACCES (a default of what is no directory)
 */
export function setAcl(draft: Draft, { ino, inode }: Node, caller: Caller, name: AclName, value: Uint8Array): number {
  const acl = decodeAcl(value)
  const old = loadXattrs(draft, ino)
  const without = withoutXattr(old, Buffer.from(name))
  if (name === defaultAclName) {
    if (acl.length > 0 && !isDirectory(inode)) throw new FsError('EACCES', 'only directories have a default ACL')
    saveXattrs(draft, ino, acl.length === 0 ? without : withXattr(old, aclXattr(name, acl)))
    return inode.mode
  }
  if (acl.length === 0) {
    saveXattrs(draft, ino, without)
    return inode.mode
  }
  saveXattrs(draft, ino, isMinimal(acl) ? without : withXattr(old, aclXattr(name, acl)))
  const mode = (inode.mode & ~0o777) | modeOfAcl(acl)
  return mayKeepSetGid(caller, inode.gid) ? mode : mode & ~setGid
}
