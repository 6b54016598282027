import { FsError } from '../../proto/errno.ts'
import type { Caller } from '../../proto/generated/file-service.ts'
import { orphanKey } from '../store/keys.ts'
import { encodeOrphan, type Inode } from '../store/records.ts'
import type { Directory } from './directory.ts'
import type { Draft } from './draft.ts'
import { demandUnguarded, isAppendOnly } from './flags.ts'
import { changeInode } from './inode.ts'
import { isDirectory, mayWrite } from './mode.ts'
import { demand, demandUnsticky } from './permission.ts'
import type { View } from './view.ts'

/**
 * May the caller take this inode's name out of the directory, which it may search? Source: fs/namei.c, may_delete.
 *
 * @throws FsError EACCES, EPERM (sticky; flags), ENOTDIR and EISDIR (it is not what is `expected`)
 */
export function demandRemovable(
  view: View,
  directory: Directory,
  inode: Inode,
  caller: Caller,
  expected: 'directory' | 'other',
): void {
  demand(view, directory, caller, mayWrite)
  if (isAppendOnly(directory.inode)) throw new FsError('EPERM', 'the directory is append-only', { ino: directory.ino })
  demandUnsticky(directory.inode, inode, caller)
  demandUnguarded(inode)
  if (expected === 'directory' && !isDirectory(inode)) throw new FsError('ENOTDIR', 'it is not a directory')
  if (expected === 'other' && isDirectory(inode)) throw new FsError('EISDIR', 'it is a directory')
}

/** @throws FsError ENOTEMPTY */
export function demandEmpty(inode: Inode): void {
  if (inode.entries > 0) throw new FsError('ENOTEMPTY', 'the directory is not empty', { entries: inode.entries })
}

/**
 * An inode has lost one name (a directory: its only one). Without any it becomes an orphan, and stays as it is for those
 * who have it open, until it is reaped (S27).
 */
export function dropLink(draft: Draft, ino: bigint, inode: Inode, nowNs: bigint): void {
  const nlink = isDirectory(inode) ? 0 : inode.nlink - 1
  changeInode(draft, ino, inode, { nlink, ctimeNs: nowNs })
  if (nlink === 0) draft.put(orphanKey(ino), encodeOrphan(nowNs))
}
