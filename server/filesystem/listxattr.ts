import type { Caller, Listxattr } from '../../proto/generated/file-service.ts'
import { asBuffer, loadInode } from './inode.ts'
import type { Outcome } from './outcome.ts'
import { isRoot } from './permission.ts'
import type { View } from './view.ts'
import { loadXattrs } from './xattr-record.ts'

const trusted = Buffer.from('trusted.')

/** Names, in the order they were first set; only root sees the trusted ones. Needs no right. @throws FsError ESTALE */
export function listxattr(view: View, caller: Caller, op: Listxattr): Outcome {
  loadInode(view, op.ino)
  const names = loadXattrs(view, op.ino).map(({ name }) => asBuffer(name))
  const shown = isRoot(caller) ? names : names.filter((name) => !name.subarray(0, trusted.length).equals(trusted))
  return { reply: { $case: 'names', value: { names: shown } }, effects: [] }
}
