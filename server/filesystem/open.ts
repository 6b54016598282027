import { FsError } from '../../proto/errno.ts'
import type { Caller, Open } from '../../proto/generated/file-service.ts'
import { type Inode, typeSymlink } from '../store/records.ts'
import { truncateContents } from './contents.ts'
import { Draft } from './draft.ts'
import { isAppendOnly } from './flags.ts'
import { attributesReply, changeInode, loadInode } from './inode.ts'
import { isDirectory, isRegular, mayExecute, mayRead, mayWrite, typeOf } from './mode.ts'
import type { At, Outcome } from './outcome.ts'
import { demand, demandOwner } from './permission.ts'
import { modeAfterWrite } from './privileges.ts'
import type { View } from './view.ts'

/** Flags of open(2) that matter here. Source: include/uapi/asm-generic/fcntl.h; `execute` is the kernel's own FMODE_EXEC. */
export const openFlags = {
  accessMode: 3,
  execute: 0o40,
  exclusive: 0o200,
  truncate: 0o1000,
  append: 0o2000,
  noAtime: 0o1000000,
} as const

/**
 * Checks an open of an inode that is there, and empties it with O_TRUNC. Without it, this is a read.
 *
 * @throws FsError ESTALE, ELOOP (a symlink), EISDIR (a directory, for writing), EACCES, EPERM (O_NOATIME; flags)
 */
export function open(view: View, caller: Caller, op: Open, at: At): Outcome {
  const inode = loadInode(view, op.ino)
  const mask = maskOf(op.flags)
  if (typeOf(inode) === typeSymlink) throw new FsError('ELOOP', 'a symbolic link is not opened', { ino: op.ino })
  if (isDirectory(inode) && (mask & mayWrite) !== 0) {
    throw new FsError('EISDIR', 'a directory is not opened for writing', { ino: op.ino })
  }
  demand(view, { ino: op.ino, inode }, caller, mask)
  if (isAppendOnly(inode)) demandAppending(op.flags, mask)
  if ((op.flags & openFlags.noAtime) !== 0) demandOwner(inode, caller)
  if (!truncates(op.flags) || !isRegular(inode)) return { reply: attributesReply(op.ino, inode), effects: [] }

  const draft = new Draft(view)
  const mode = modeAfterWrite(draft, { ino: op.ino, inode }, caller, op.killPrivileges)
  const next = emptied(draft, op.ino, inode, { at, mode })
  return { reply: attributesReply(op.ino, next), effects: draft.effects() }
}

/** What is append-only is opened for reading, or with O_APPEND. Source: fs/namei.c, may_open. */
function demandAppending(flags: number, mask: number): void {
  const rewrites = (mask & mayWrite) !== 0 && (flags & openFlags.append) === 0
  if (rewrites || truncates(flags)) throw new FsError('EPERM', 'it is append-only')
}

export const truncates = (flags: number): boolean => (flags & openFlags.truncate) !== 0

/** What an open asks for: to execute needs no right to read; access mode 3 asks for both; to truncate is to write. */
function maskOf(flags: number): number {
  if ((flags & openFlags.execute) !== 0) return mayExecute
  const access = [mayRead, mayWrite, mayRead | mayWrite, mayRead | mayWrite][flags & openFlags.accessMode] ?? 0
  return truncates(flags) ? access | mayWrite : access
}

function emptied(draft: Draft, ino: bigint, inode: Inode, how: { readonly at: At; readonly mode: number }): Inode {
  const { nowNs } = how.at
  const extent = truncateContents(draft, ino, inode, 0)
  return changeInode(draft, ino, inode, { ...extent, mode: how.mode, mtimeNs: nowNs, ctimeNs: nowNs })
}
