import { FsError } from '../../proto/errno.ts'
import type { Caller, Setattr } from '../../proto/generated/file-service.ts'
import type { Inode } from '../store/records.ts'
import { aclAfterChmod } from './acl.ts'
import { sizeBytesMax, truncateContents } from './contents.ts'
import { Draft } from './draft.ts'
import { demandMutable, demandUnguarded, guardedFlags, inodeFlags, settableFlags } from './flags.ts'
import { attributesReply, changeInode, loadInode, type Node } from './inode.ts'
import { isDirectory, isRegular, mayWrite, modeOf, setGid, typeOf } from './mode.ts'
import type { At, Outcome } from './outcome.ts'
import { demand, demandOwner, inGroup, isOwner, isRoot, mayKeepSetGid, withoutPrivileges } from './permission.ts'
import { dropCapabilities } from './privileges.ts'
import type { View } from './view.ts'
import { accessAclName, aclXattr, loadAcl, loadXattrs, saveXattrs, withXattr } from './xattr-record.ts'

/**
 * chmod(2), chown(2), truncate(2), utimensat(2), chattr(1), together or one of them. Rights are checked in this order: size, owner,
 * group, mode, times. Source: fs/attr.c, setattr_prepare and notify_change.
 *
 * @throws FsError ESTALE, EPERM, EACCES (truncate, touch), EISDIR and EINVAL (truncate), EFBIG, ENOTTY and
 *   EOPNOTSUPP (flags)
 */
export function setattr(view: View, caller: Caller, op: Setattr, at: At): Outcome {
  const inode = loadInode(view, op.ino)
  const node = { ino: op.ino, inode }
  checkFlags(inode, caller, op)
  if (op.size !== undefined) checkSize(view, node, caller, op, op.size)
  checkOwnership(inode, caller, op)
  if (op.mode !== undefined) demandOwner(inode, caller)
  checkTimes(view, node, caller, op)

  const draft = new Draft(view)
  const mode = modeAfter(inode, caller, op)
  const dropped = endsPrivileges(inode, op) && dropCapabilities(draft, op.ino)
  if (mode === inode.mode && !dropped && changesNothing(op)) {
    return { reply: attributesReply(op.ino, inode), effects: [] }
  }
  if (op.mode !== undefined) changeAccessAcl(draft, op.ino, op.mode)
  const extent = op.size === undefined ? {} : truncateContents(draft, op.ino, inode, Number(op.size))
  const written = op.size === undefined ? inode.mtimeNs : at.nowNs
  const next = changeInode(draft, op.ino, inode, {
    ...extent,
    mode,
    uid: op.uid ?? inode.uid,
    gid: op.gid ?? inode.gid,
    atimeNs: op.atime === undefined ? inode.atimeNs : op.atime.now ? at.nowNs : op.atime.ns,
    mtimeNs: op.mtime === undefined ? written : op.mtime.now ? at.nowNs : op.mtime.ns,
    ctimeNs: at.nowNs,
    flags: op.flags === undefined ? inode.flags : op.flags | (inode.flags & inodeFlags.linkable),
  })
  return { reply: attributesReply(op.ino, next), effects: draft.effects() }
}

const changesNothing = (op: Setattr): boolean =>
  op.mode === undefined &&
  op.uid === undefined &&
  op.gid === undefined &&
  op.size === undefined &&
  op.atime === undefined &&
  op.mtime === undefined &&
  op.flags === undefined

/**
 * What the inode's flags forbid, and who may change them. Source: fs/attr.c, may_setattr; fs/ext4/inode.c, ext4_setattr;
 * fs/ioctl.c, fileattr_set_prepare.
 */
function checkFlags(inode: Inode, caller: Caller, op: Setattr): void {
  const setsTime = [op.atime, op.mtime].some((time) => time !== undefined && !time.now)
  const isKept = op.mode !== undefined || op.uid !== undefined || op.gid !== undefined || setsTime
  if (isKept || op.size !== undefined) demandUnguarded(inode)
  if (op.atime !== undefined || op.mtime !== undefined) demandMutable(inode)
  if (op.flags === undefined) return
  if (!isDirectory(inode) && !isRegular(inode)) throw new FsError('ENOTTY', 'only files and directories have flags')
  demandOwner(inode, caller)
  if ((op.flags & ~settableFlags) !== 0) throw new FsError('EOPNOTSUPP', 'unknown flags', { flags: op.flags })
  if (((op.flags ^ inode.flags) & guardedFlags) !== 0 && !isRoot(caller)) {
    throw new FsError('EPERM', 'only root makes it immutable or append-only', { uid: caller.uid })
  }
}

function checkSize(view: View, node: Node, caller: Caller, op: Setattr, size: bigint): void {
  const { inode } = node
  if (isDirectory(inode)) throw new FsError('EISDIR', 'a directory has no size to set', { ino: op.ino })
  if (!isRegular(inode)) throw new FsError('EINVAL', 'only a regular file has a size to set', { ino: op.ino })
  if (!op.openForWriting) demand(view, node, caller, mayWrite)
  if (size > BigInt(sizeBytesMax)) throw new FsError('EFBIG', 'a file cannot be that long', { size })
}

/** Only root gives a file away; its owner may choose among the groups it is in. */
function checkOwnership(inode: Inode, caller: Caller, op: Setattr): void {
  if (isRoot(caller)) return
  const owns = caller.uid === inode.uid
  if (op.uid !== undefined && !(owns && op.uid === inode.uid)) {
    throw new FsError('EPERM', 'only root changes the owner', { uid: caller.uid })
  }
  if (op.gid !== undefined && !(owns && (op.gid === inode.gid || inGroup(caller, op.gid)))) {
    throw new FsError('EPERM', 'only the owner changes the group, to one it is in', { uid: caller.uid, gid: op.gid })
  }
}

/** Whoever may write may set both times to now; anything else is the owner's. The times of a truncation are its own. */
function checkTimes(view: View, node: Node, caller: Caller, op: Setattr): void {
  const { inode } = node
  if (op.atime === undefined && op.mtime === undefined) return
  if (isOwner(inode, caller)) return
  if (op.size !== undefined && op.atime === undefined && op.mtime?.now === true) return
  if (op.atime?.now !== true || op.mtime?.now !== true) demandOwner(inode, caller)
  demand(view, node, caller, mayWrite)
}

/**
 * An explicit mode counts, without set-gid if the caller is not in the group. Without one, a change of owner of anything
 * but a directory takes set-uid and set-gid away, whoever makes it; and so does a driver that asks for it.
 */
function modeAfter(inode: Inode, caller: Caller, op: Setattr): number {
  if (op.mode !== undefined) {
    const mode = modeOf(typeOf(inode), op.mode)
    return mayKeepSetGid(caller, op.gid ?? inode.gid) ? mode : mode & ~setGid
  }
  const loses = endsPrivileges(inode, op) && (op.killPrivileges || changesOwner(op) || !isRoot(caller))
  return loses ? withoutPrivileges(inode, caller) : inode.mode
}

const changesOwner = (op: Setattr): boolean => op.uid !== undefined || op.gid !== undefined

const endsPrivileges = (inode: Inode, op: Setattr): boolean =>
  !isDirectory(inode) && (op.killPrivileges || changesOwner(op) || op.size !== undefined)

function changeAccessAcl(draft: Draft, ino: bigint, mode: number): void {
  const acl = loadAcl(draft, ino, accessAclName)
  if (acl === undefined) return
  const changed = aclXattr(accessAclName, aclAfterChmod(acl, mode))
  saveXattrs(draft, ino, withXattr(loadXattrs(draft, ino), changed))
}
