import { FsError } from '../../proto/errno.ts'
import type { Caller } from '../../proto/generated/file-service.ts'
import { inodeCounter, inodeKey, orphanKey } from '../store/keys.ts'
import {
  type Counter,
  decodeCounter,
  encodeCounter,
  encodeInode,
  encodeOrphan,
  type Inode,
  typeDirectory,
  typeSymlink,
  type Xattr,
} from '../store/records.ts'
import { inheritedAcl, isMinimal, modeOfAcl } from './acl.ts'
import { addName, changeDirectory, type Directory, demandAlive, findName, searchable } from './directory.ts'
import type { Draft } from './draft.ts'
import { inheritedFlags, inodeFlags } from './flags.ts'
import { groupExecute, isDirectory, mayWrite, modeOf, setGid, typeOf } from './mode.ts'
import { checkName, isDot, isDotDot } from './name.ts'
import { demand, mayKeepSetGid } from './permission.ts'
import type { View } from './view.ts'
import { accessAclName, aclXattr, defaultAclName, loadAcl, saveXattrs } from './xattr-record.ts'

const nothing = new Uint8Array(0)

/** What an inode begins as. `bits` are the permission bits; of them the umask takes, where no default ACL does. */
export interface NewInode {
  readonly type: number
  readonly bits: number
  readonly umask?: number
  readonly rdev?: number
  readonly target?: Uint8Array
  /** A file without a name that may get one. */
  readonly linkable?: boolean
  /** The number that it is to have, of those that the session has been given (S28); otherwise the next. */
  readonly ino?: bigint | undefined
}

/**
 * The directory in which `name` may be made.
 *
 * @throws FsError ESTALE, ENOTDIR, EACCES, ENOENT (removed directory, empty name), ENAMETOOLONG, EINVAL, EEXIST
 */
export function directoryForNew(view: View, caller: Caller, parent: bigint, name: Uint8Array): Directory {
  const directory = searchable(view, caller, parent)
  checkName(name)
  if (isDot(name) || isDotDot(name) || findName(view, parent, name) !== undefined) {
    throw new FsError('EEXIST', 'the name is taken', { parent })
  }
  demandTakesNames(view, directory, caller)
  return directory
}

/** @throws FsError ENOENT (removed directory), EACCES */
export function demandTakesNames(view: View, directory: Directory, caller: Caller): void {
  demandAlive(directory)
  demand(view, directory, caller, mayWrite)
}

interface Made {
  readonly ino: bigint
  readonly inode: Inode
}

/** Makes an inode under a name that the directory does not have. */
export function makeInode(
  draft: Draft,
  caller: Caller,
  directory: Directory,
  name: Uint8Array,
  made: NewInode,
  nowNs: bigint,
): Made {
  const isNewDirectory = made.type === typeDirectory
  const { ino, inode } = putInode(draft, caller, directory, made, { nowNs, nlink: isNewDirectory ? 2 : 1 })
  addName(draft, directory.ino, name, { ino, type: typeOf(inode) })
  changeDirectory(draft, directory.ino, { names: 1, directories: isNewDirectory ? 1 : 0, nowNs })
  return { ino, inode }
}

/** Makes a file without a name, as it would be in the directory. */
export function makeNameless(draft: Draft, caller: Caller, directory: Directory, made: NewInode, nowNs: bigint): Made {
  const { ino, inode } = putInode(draft, caller, directory, made, { nowNs, nlink: 0 })
  draft.put(orphanKey(ino), encodeOrphan(nowNs))
  return { ino, inode }
}

function putInode(
  draft: Draft,
  caller: Caller,
  directory: Directory,
  made: NewInode,
  { nowNs, nlink }: { readonly nowNs: bigint; readonly nlink: number },
): Made {
  const ino = allocate(draft, made.ino)
  const { bits, xattrs } = inherit(draft, directory, made)
  const { mode, uid, gid } = ownership(directory.inode, caller, made, bits)
  const inode: Inode = {
    mode,
    uid,
    gid,
    nlink,
    size: made.target?.length ?? 0,
    atimeNs: nowNs,
    mtimeNs: nowNs,
    ctimeNs: nowNs,
    btimeNs: nowNs,
    version: 1,
    rdev: made.rdev ?? 0,
    flags: (directory.inode.flags & inheritedFlags) | (made.linkable === true ? inodeFlags.linkable : 0),
    holes: 0,
    blob: 0n,
    parent: made.type === typeDirectory ? directory.ino : 0n,
    entries: 0,
    target: made.target ?? nothing,
  }
  draft.put(inodeKey(ino), encodeInode(inode))
  if (xattrs.length > 0) saveXattrs(draft, ino, xattrs)
  return { ino, inode }
}

/** The next number (S28), or one that was given away before; counted as one more inode in use. @throws FsError EINVAL */
function allocate(draft: Draft, given: bigint | undefined): bigint {
  const { next, used } = counter(draft)
  if (given === undefined) {
    draft.put(inodeCounter, encodeCounter({ next: next + 1n, used: used + 1 }))
    return next
  }
  if (given >= next) throw new FsError('EINVAL', 'the number was never given away', { ino: given })
  if (draft.get(inodeKey(given)) !== undefined)
    throw new FsError('EINVAL', 'the number is an inode already', { ino: given })
  draft.put(inodeCounter, encodeCounter({ next, used: used + 1 }))
  return given
}

/** The first of so many numbers that were never given away, and are now. */
export function giveNumbers(draft: Draft, count: number): bigint {
  const { next, used } = counter(draft)
  draft.put(inodeCounter, encodeCounter({ next: next + BigInt(count), used }))
  return next
}

function counter(view: View): Counter {
  const value = view.get(inodeCounter)
  if (value === undefined) throw new Error('the volume has no inode counter: it was never formatted')
  return decodeCounter(value)
}

/**
 * A default ACL of the directory becomes the inode's own, as far as its mode goes, and the umask counts for nothing; a
 * directory hands it on. Otherwise the umask takes away bits. Source: acl(5), "Object creation and default ACLs".
 */
function inherit(view: View, { ino }: Directory, made: NewInode): { bits: number; xattrs: readonly Xattr[] } {
  const masked = { bits: made.bits & ~(made.umask ?? 0), xattrs: [] }
  if (made.type === typeSymlink) return masked
  const defaults = loadAcl(view, ino, defaultAclName)
  if (defaults === undefined) return masked
  const acl = inheritedAcl(defaults, made.bits)
  const xattrs = [
    ...(isMinimal(acl) ? [] : [aclXattr(accessAclName, acl)]),
    ...(made.type === typeDirectory ? [aclXattr(defaultAclName, defaults)] : []),
  ]
  return { bits: (made.bits & ~0o777) | modeOfAcl(acl), xattrs }
}

/**
 * Owner, group and mode of a new inode. In a set-gid directory the group is the directory's; a directory made there is
 * set-gid too, and what was to be an executable, before any umask, loses the bit if the caller is not in that group.
 * Source: fs/inode.c, inode_init_owner and mode_strip_sgid; fs/namei.c, vfs_prepare_mode.
 */
function ownership(parent: Inode, caller: Caller, made: NewInode, bits: number): Pick<Inode, 'uid' | 'gid' | 'mode'> {
  const mode = modeOf(made.type, bits)
  if (!isDirectory(parent) || (parent.mode & setGid) === 0) return { uid: caller.uid, gid: caller.gid, mode }
  const owned = { uid: caller.uid, gid: parent.gid }
  if (made.type === typeDirectory) return { ...owned, mode: mode | setGid }
  const executable = setGid | groupExecute
  const strips = (made.bits & executable) === executable && !mayKeepSetGid(caller, parent.gid)
  return { ...owned, mode: strips ? mode & ~setGid : mode }
}
