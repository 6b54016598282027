import { FsError } from '../../proto/errno.ts'
import type { Inode } from '../store/records.ts'

/** Flags of an inode. Source: FS_*_FL in include/uapi/linux/fs.h. `linkable` is our own and never shown. */
export const inodeFlags = {
  immutable: 0x10,
  append: 0x20,
  noDump: 0x40,
  noAtime: 0x80,
  /** A file that was made without a name and may still get one. Source: I_LINKABLE in include/linux/fs.h. */
  linkable: 1 << 28,
} as const

/** What chattr(1) may set and lsattr(1) shows. */
export const settableFlags = inodeFlags.immutable | inodeFlags.append | inodeFlags.noDump | inodeFlags.noAtime
/** Only root (CAP_LINUX_IMMUTABLE) may change these. */
export const guardedFlags = inodeFlags.immutable | inodeFlags.append
/** A new inode takes these over from its directory, as in ext4. */
export const inheritedFlags = inodeFlags.noDump | inodeFlags.noAtime

export const isImmutable = (inode: Inode): boolean => (inode.flags & inodeFlags.immutable) !== 0
export const isAppendOnly = (inode: Inode): boolean => (inode.flags & inodeFlags.append) !== 0
export const isGuarded = (inode: Inode): boolean => (inode.flags & guardedFlags) !== 0

/** @throws FsError EPERM: immutable, whoever asks */
export function demandMutable(inode: Inode): void {
  if (isImmutable(inode)) throw new FsError('EPERM', 'it is immutable', { flags: inode.flags })
}

/** What takes a name or an attribute away, or puts one on. @throws FsError EPERM: immutable or append-only */
export function demandUnguarded(inode: Inode): void {
  if (isGuarded(inode)) throw new FsError('EPERM', 'it is immutable or append-only', { flags: inode.flags })
}
