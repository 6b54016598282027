import type { Caller, Tmpfile } from '../../proto/generated/file-service.ts'
import { typeRegular } from '../store/records.ts'
import { searchable } from './directory.ts'
import { Draft } from './draft.ts'
import { entryReply } from './inode.ts'
import { demandTakesNames, makeNameless } from './new-inode.ts'
import { openFlags } from './open.ts'
import type { At, Outcome } from './outcome.ts'
import type { View } from './view.ts'

/**
 * open(2) with O_TMPFILE: a file that is an orphan from the beginning, and goes with its last close unless link(2) gives
 * it a name, which O_EXCL forbids. The directory is not changed. Source: fs/namei.c, vfs_tmpfile.
 *
 * @throws FsError ESTALE, ENOTDIR, EACCES, EPERM (immutable directory), ENOENT (removed directory), ENOSPC
 */
export function tmpfile(view: View, caller: Caller, op: Tmpfile, at: At): Outcome {
  const directory = searchable(view, caller, op.parent)
  demandTakesNames(view, directory, caller)
  const draft = new Draft(view)
  const made = { type: typeRegular, bits: op.mode, umask: op.umask, linkable: (op.flags & openFlags.exclusive) === 0 }
  const { ino, inode } = makeNameless(draft, caller, directory, made, at.nowNs)
  return { reply: entryReply(ino, inode), effects: draft.effects() }
}
