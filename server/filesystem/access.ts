import { FsError } from '../../proto/errno.ts'
import type { Access, Caller } from '../../proto/generated/file-service.ts'
import { done, loadInode } from './inode.ts'
import type { Outcome } from './outcome.ts'
import { demand } from './permission.ts'
import type { View } from './view.ts'

/** access(2) for the caller. @throws FsError ESTALE, EINVAL, EACCES */
export function access(view: View, caller: Caller, op: Access): Outcome {
  const inode = loadInode(view, op.ino)
  if (op.mask > 7) throw new FsError('EINVAL', 'the mask has unknown bits', { mask: op.mask })
  demand(view, { ino: op.ino, inode }, caller, op.mask)
  return { reply: done, effects: [] }
}
