import type { Caller, Getattr } from '../../proto/generated/file-service.ts'
import { loadInode } from './inode.ts'
import type { Outcome } from './outcome.ts'
import { shown } from './shown.ts'
import type { View } from './view.ts'

/** stat(2): needs no right on the inode itself. @throws FsError ESTALE */
export function getattr(view: View, _caller: Caller, op: Getattr): Outcome {
  return { reply: { $case: 'attributes', value: shown(view, op.ino, loadInode(view, op.ino)) }, effects: [] }
}
