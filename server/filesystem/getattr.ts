import type { Caller, Getattr } from '../../proto/generated/file-service.ts'
import { attributesReply, loadInode } from './inode.ts'
import type { Outcome } from './outcome.ts'
import type { View } from './view.ts'

/** stat(2): needs no right on the inode itself. @throws FsError ESTALE */
export function getattr(view: View, _caller: Caller, op: Getattr): Outcome {
  return { reply: attributesReply(op.ino, loadInode(view, op.ino)), effects: [] }
}
