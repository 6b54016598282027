import type { Caller, Mkdir } from '../../proto/generated/file-service.ts'
import { typeDirectory } from '../store/records.ts'
import { Draft } from './draft.ts'
import { takeHold } from './holds.ts'
import { entryReply } from './inode.ts'
import { directoryForNew, makeInode } from './new-inode.ts'
import type { At, Outcome } from './outcome.ts'
import type { View } from './view.ts'

/** Of the mode, mkdir(2) takes permissions and the sticky bit only. @throws FsError as `directoryForNew`; ENOSPC */
export function mkdir(view: View, caller: Caller, op: Mkdir, at: At): Outcome {
  const directory = directoryForNew(view, caller, op.parent, op.name)
  const draft = new Draft(view)
  const made = { type: typeDirectory, bits: op.mode & 0o1777, umask: op.umask, ino: op.newIno }
  const { ino, inode } = makeInode(draft, caller, directory, op.name, made, at.nowNs)
  const hold = takeHold(draft, ino, op.take, at)
  return { reply: entryReply(ino, inode, hold), effects: draft.effects() }
}
