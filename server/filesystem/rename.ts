import { FsError } from '../../proto/errno.ts'
import type { Caller, Rename } from '../../proto/generated/file-service.ts'
import { rootIno } from '../../proto/volume-number.ts'
import { type Inode, typeCharacter } from '../store/records.ts'
import * as directory from './directory.ts'
import { Draft } from './draft.ts'
import { changeInode, done, loadInode } from './inode.ts'
import { isDirectory, mayWrite, typeOf } from './mode.ts'
import { checkName, isDot, isDotDot } from './name.ts'
import { makeInode } from './new-inode.ts'
import type { At, Outcome } from './outcome.ts'
import { demand } from './permission.ts'
import { demandEmpty, demandRemovable, dropLink } from './removal.ts'
import type { View } from './view.ts'

/** Source: include/uapi/linux/fs.h. `whiteout` leaves the character device 0:0 under the old name, as overlays want. */
export const renameFlags = { noReplace: 1, exchange: 2, whiteout: 4 } as const

/** A name, with the directory it is in and the inode it leads to. */
interface Place {
  readonly directory: directory.Directory
  readonly name: Uint8Array
}
interface Named extends Place {
  readonly ino: bigint
  readonly inode: Inode
}

/**
 * renameat2(2). Source for the order of the checks: fs/namei.c, do_renameat2 and vfs_rename.
 *
 * @throws FsError ESTALE, ENOTDIR, EISDIR, EACCES, ENAMETOOLONG, EINVAL (flags; into itself), ENOENT, ENOTEMPTY, EPERM
 *   (sticky), EEXIST (NOREPLACE), EBUSY (`.`, `..`), ENOSPC
 */
export function rename(view: View, caller: Caller, op: Rename, at: At): Outcome {
  const exchange = op.flags === renameFlags.exchange
  const whiteout = (op.flags & renameFlags.whiteout) !== 0
  const others = op.flags & ~renameFlags.whiteout
  if (others !== 0 && others !== renameFlags.noReplace && !exchange) {
    throw new FsError('EINVAL', 'unknown flags, or flags that exclude each other', { flags: op.flags })
  }
  const from = { directory: directory.searchable(view, caller, op.parent), name: op.name }
  const to = { directory: directory.searchable(view, caller, op.newParent), name: op.newName }
  for (const { name } of [from, to]) {
    if (isDot(name) || isDotDot(name)) throw new FsError('EBUSY', '"." and ".." stay where they are')
  }
  checkName(op.name)
  const moved = named(view, from)
  if (moved === undefined) throw new FsError('ENOENT', 'there is no such name', { parent: op.parent })
  checkName(op.newName)
  directory.demandAlive(to.directory)
  const victim = named(view, to)
  if (victim !== undefined && others === renameFlags.noReplace) throw new FsError('EEXIST', 'the name is taken')
  if (victim === undefined && exchange) throw new FsError('ENOENT', 'there is nothing to exchange it with')
  demandNoLoop(view, { moved, victim, from, to, exchange })
  if (victim?.ino === moved.ino) return { reply: done, effects: [] } // two names of one inode: nothing is to be done
  demandRights(view, { moved, victim, to, caller, exchange })

  const draft = new Draft(view)
  if (exchange && victim !== undefined) swap(draft, moved, victim, at.nowNs)
  else move(draft, moved, { to, victim }, at.nowNs)
  // Between the two names of a rename nobody sees the old one empty: it is one entry.
  if (whiteout) makeInode(draft, caller, from.directory, op.name, { type: typeCharacter, bits: 0 }, at.nowNs)
  return { reply: done, effects: draft.effects() }
}

function named(view: View, place: Place): Named | undefined {
  const dentry = directory.findName(view, place.directory.ino, place.name)
  return dentry === undefined ? undefined : { ...place, ino: dentry.ino, inode: loadInode(view, dentry.ino) }
}

interface Move {
  readonly moved: Named
  readonly victim: Named | undefined
  readonly from: Place
  readonly to: Place
  readonly exchange: boolean
}

/** Neither may a directory come to be in itself, nor a name replace what it is in. */
function demandNoLoop(view: View, { moved, victim, from, to, exchange }: Move): void {
  if (from.directory.ino === to.directory.ino) return
  if (isDirectory(moved.inode) && isWithin(view, to.directory, moved.ino)) {
    throw new FsError('EINVAL', 'a directory cannot be moved into itself', { ino: moved.ino })
  }
  if (victim !== undefined && isDirectory(victim.inode) && isWithin(view, from.directory, victim.ino)) {
    if (exchange) throw new FsError('EINVAL', 'a directory cannot be moved into itself', { ino: victim.ino })
    throw new FsError('ENOTEMPTY', 'the directory to be replaced contains what is moved', { ino: victim.ino })
  }
}

/** Is the directory `ino`, or somewhere below it? */
function isWithin(view: View, { ino: start, inode }: directory.Directory, ino: bigint): boolean {
  let at = start
  let parent = inode.parent
  while (at !== ino) {
    if (at === rootIno || at === parent) return false
    at = parent
    parent = loadInode(view, at).parent
  }
  return true
}

interface Rights extends Pick<Move, 'moved' | 'victim' | 'to' | 'exchange'> {
  readonly caller: Caller
}

function demandRights(view: View, { moved, victim, to, caller, exchange }: Rights): void {
  const kind = kindOf(moved.inode)
  demandRemovable(view, moved.directory, moved.inode, caller, kind)
  if (victim === undefined) {
    demand(view, to.directory, caller, mayWrite)
  } else {
    demandRemovable(view, to.directory, victim.inode, caller, exchange ? kindOf(victim.inode) : kind)
  }
  if (moved.directory.ino !== to.directory.ino) {
    // Its `..` is to change, which is a write to it.
    if (isDirectory(moved.inode)) demand(view, moved, caller, mayWrite)
    if (exchange && victim !== undefined && isDirectory(victim.inode)) demand(view, victim, caller, mayWrite)
  }
  if (!exchange && victim !== undefined && isDirectory(victim.inode)) demandEmpty(victim.inode)
}

const kindOf = (inode: Inode): 'directory' | 'other' => (isDirectory(inode) ? 'directory' : 'other')
const directories = (inode: Inode | undefined): number => (inode !== undefined && isDirectory(inode) ? 1 : 0)

function move(draft: Draft, moved: Named, { to, victim }: Pick<Move, 'to' | 'victim'>, nowNs: bigint): void {
  const [source, target] = [moved.directory.ino, to.directory.ino]
  directory.removeName(draft, source, moved.name)
  const child = { ino: moved.ino, type: typeOf(moved.inode) }
  if (victim === undefined) directory.addName(draft, target, to.name, child)
  else directory.replaceName(draft, target, to.name, child)

  const leaves = directories(moved.inode)
  const replaced = directories(victim?.inode)
  directory.changeDirectory(draft, source, { names: -1, directories: -leaves, nowNs })
  const came = { names: victim === undefined ? 1 : 0, directories: leaves - replaced, nowNs }
  directory.changeDirectory(draft, target, came)
  changeParent(draft, moved, target, nowNs)
  if (victim !== undefined) dropLink(draft, victim.ino, victim.inode, nowNs)
}

function swap(draft: Draft, a: Named, b: Named, nowNs: bigint): void {
  directory.replaceName(draft, a.directory.ino, a.name, { ino: b.ino, type: typeOf(b.inode) })
  directory.replaceName(draft, b.directory.ino, b.name, { ino: a.ino, type: typeOf(a.inode) })
  const more = directories(b.inode) - directories(a.inode)
  directory.changeDirectory(draft, a.directory.ino, { names: 0, directories: more, nowNs })
  directory.changeDirectory(draft, b.directory.ino, { names: 0, directories: -more, nowNs })
  changeParent(draft, a, b.directory.ino, nowNs)
  changeParent(draft, b, a.directory.ino, nowNs)
}

/** The inode notes the time, and a directory where it is now. Read anew: it may be a parent of what moved as well. */
function changeParent(draft: Draft, moved: Named, parent: bigint, nowNs: bigint): void {
  const inode = loadInode(draft, moved.ino)
  changeInode(draft, moved.ino, inode, { ctimeNs: nowNs, parent: isDirectory(inode) ? parent : 0n })
}
