import { FsError } from '../../proto/errno.ts'
import type { Caller } from '../../proto/generated/file-service.ts'
import type { Inode } from '../store/records.ts'
import { groupExecute, isDirectory, mayExecute, setGid, setUid, stickyBit } from './mode.ts'

/** Root has all capabilities; nobody else has any. */
export const isRoot = (caller: Caller): boolean => caller.uid === 0

export const isOwner = (inode: Inode, caller: Caller): boolean => caller.uid === inode.uid || isRoot(caller)

/** The caller's group or one of its supplementary groups. */
export const inGroup = (caller: Caller, gid: number): boolean => caller.gid === gid || caller.groups.includes(gid)

/**
 * May the caller do all of `mask` (mode.ts)? The first class that fits decides alone: an owner whom the owner's bits
 * refuse is refused, whatever the others may. Source: fs/namei.c, generic_permission.
 */
export function permitted(inode: Inode, caller: Caller, mask: number): boolean {
  if (isRoot(caller)) return (mask & mayExecute) === 0 || isDirectory(inode) || (inode.mode & 0o111) !== 0
  const shift = caller.uid === inode.uid ? 6 : inGroup(caller, inode.gid) ? 3 : 0
  return ((inode.mode >>> shift) & mask) === mask
}

/** @throws FsError EACCES */
export function demand(inode: Inode, caller: Caller, mask: number): void {
  if (!permitted(inode, caller, mask)) {
    throw new FsError('EACCES', 'the permission bits do not allow it', { mode: inode.mode, mask, uid: caller.uid })
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
  const keepsGroup = (mode & groupExecute) === 0 && (isRoot(caller) || inGroup(caller, inode.gid))
  return keepsGroup ? mode : mode & ~setGid
}
