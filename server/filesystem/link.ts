import { FsError } from '../../proto/errno.ts'
import type { Caller, Link } from '../../proto/generated/file-service.ts'
import { orphanKey } from '../store/keys.ts'
import { addName, changeDirectory } from './directory.ts'
import { Draft } from './draft.ts'
import { demandUnguarded, inodeFlags } from './flags.ts'
import { changeInode, entryReply, loadInode } from './inode.ts'
import { isDirectory, typeOf } from './mode.ts'
import { directoryForNew } from './new-inode.ts'
import type { At, Outcome } from './outcome.ts'
import type { View } from './view.ts'

/** Names of one inode, at most: as ext4. */
export const linksMax = 65000

/** @throws FsError as `directoryForNew`; EPERM (a directory; flags), ENOENT (it has no name any more), EMLINK, ENOSPC */
export function link(view: View, caller: Caller, op: Link, at: At): Outcome {
  const inode = loadInode(view, op.ino)
  directoryForNew(view, caller, op.parent, op.name)
  demandUnguarded(inode)
  if (isDirectory(inode)) throw new FsError('EPERM', 'a directory has one name only', { ino: op.ino })
  const isLinkable = (inode.flags & inodeFlags.linkable) !== 0
  if (inode.nlink === 0 && !isLinkable) throw new FsError('ENOENT', 'its last name was removed', { ino: op.ino })
  if (inode.nlink >= linksMax) throw new FsError('EMLINK', `it has ${linksMax} names already`, { ino: op.ino })

  const draft = new Draft(view)
  const next = changeInode(draft, op.ino, inode, {
    nlink: inode.nlink + 1,
    ctimeNs: at.nowNs,
    flags: inode.flags & ~inodeFlags.linkable,
  })
  if (inode.nlink === 0) draft.delete(orphanKey(op.ino))
  addName(draft, op.parent, op.name, { ino: op.ino, type: typeOf(inode) })
  changeDirectory(draft, op.parent, { names: 1, directories: 0, nowNs: at.nowNs })
  return { reply: entryReply(op.ino, next), effects: draft.effects() }
}
