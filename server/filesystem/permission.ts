import { FsError } from '../../proto/errno.ts'
import type { Caller } from '../../proto/generated/file-service.ts'
import type { Inode } from '../store/records.ts'
import { type Acl, aclPermits } from './acl.ts'
import { demandMutable } from './flags.ts'
import type { Node } from './inode.ts'
import { groupBits, groupExecute, isDirectory, mayExecute, mayWrite, setGid, setUid, stickyBit } from './mode.ts'
import type { View } from './view.ts'
import { accessAclName, loadAcl } from './xattr-record.ts'

/** Root has all capabilities; nobody else has any. */
export const isRoot = (caller: Caller): boolean => caller.uid === 0

export const isOwner = (inode: Inode, caller: Caller): boolean => caller.uid === inode.uid || isRoot(caller)

/** The caller's group or one of its supplementary groups. */
export const inGroup = (caller: Caller, gid: number): boolean => caller.gid === gid || caller.groups.includes(gid)

/** In the group, or above it (CAP_FSETID): only then may the caller leave or set set-gid. */
export const mayKeepSetGid = (caller: Caller, gid: number): boolean => isRoot(caller) || inGroup(caller, gid)

/**
 * Does the access ACL decide, if there is one? Not for the owner, whose entry is in the mode; and, as in Linux, not
 * where the group's bits, which are the mask, allow nothing: then whom it names counts as group or other.
 */
const decidedByAcl = (inode: Inode, caller: Caller): boolean =>
  !isRoot(caller) && caller.uid !== inode.uid && (inode.mode & groupBits) !== 0

/**
 * May the caller do all of `mask` (mode.ts)? The first class that fits decides alone: an owner whom the owner's bits
 * refuse is refused, whatever the others may. Source: fs/namei.c, generic_permission and acl_permission_check.
 */
export function permitted(inode: Inode, caller: Caller, mask: number, acl?: Acl): boolean {
  if (isRoot(caller)) return (mask & mayExecute) === 0 || isDirectory(inode) || (inode.mode & 0o111) !== 0
  if (acl !== undefined && decidedByAcl(inode, caller)) return aclPermits(acl, inode.gid, caller, mask)
  const shift = caller.uid === inode.uid ? 6 : inGroup(caller, inode.gid) ? 3 : 0
  return ((inode.mode >>> shift) & mask) === mask
}

/** @throws FsError EPERM (a write to what is immutable, also by root), EACCES */
export function demand(view: View, { ino, inode }: Node, caller: Caller, mask: number): void {
  if ((mask & mayWrite) !== 0) demandMutable(inode)
  const acl = decidedByAcl(inode, caller) ? loadAcl(view, ino, accessAclName) : undefined
  if (!permitted(inode, caller, mask, acl)) {
    throw new FsError('EACCES', 'its permissions do not allow it', { mode: inode.mode, mask, uid: caller.uid })
  }
}

/** @throws FsError EPERM: only the owner and root may */
export function demandOwner(inode: Inode, caller: Caller): void {
  if (!isOwner(inode, caller)) throw new FsError('EPERM', 'only the owner may do that', { uid: caller.uid })
}

/** In a sticky directory names are removed by the owner of the inode, of the directory, or root. @throws FsError EPERM */
export function demandUnsticky(directory: Inode, inode: Inode, caller: Caller): void {
  if ((directory.mode & stickyBit) === 0 || isOwner(directory, caller) || caller.uid === inode.uid) return
  throw new FsError('EPERM', 'the directory is sticky and neither it nor the file is the caller’s', { uid: caller.uid })
}

/**
 * The mode without set-uid, and without set-gid where it means an executable's group, or where the caller could not set
 * it. Source: fs/attr.c, setattr_should_drop_suidgid.
 */
export function withoutPrivileges(inode: Inode, caller: Caller): number {
  const mode = inode.mode & ~setUid
  const keepsGroup = (mode & groupExecute) === 0 && mayKeepSetGid(caller, inode.gid)
  return keepsGroup ? mode : mode & ~setGid
}
