import type { Caller, Listxattr } from '../../proto/generated/file-service.ts'
import { asBuffer, loadInode } from './inode.ts'
import type { Outcome } from './outcome.ts'
import type { View } from './view.ts'
import { loadXattrs } from './xattrs.ts'

/** Names, in the order they were first set. Needs no right. @throws FsError ESTALE */
export function listxattr(view: View, _caller: Caller, op: Listxattr): Outcome {
  loadInode(view, op.ino)
  const names = loadXattrs(view, op.ino).map(({ name }) => asBuffer(name))
  return { reply: { $case: 'names', value: { names } }, effects: [] }
}
