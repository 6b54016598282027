import type { Caller, Fsync } from '../../proto/generated/file-service.ts'
import { done, loadInode } from './inode.ts'
import type { Outcome } from './outcome.ts'
import type { View } from './view.ts'

/** Changes nothing: the shell brings to the disks what was acknowledged, then answers so. @throws FsError ESTALE */
export function fsync(view: View, _caller: Caller, op: Fsync): Outcome {
  loadInode(view, op.ino)
  return { reply: done, effects: [] }
}
