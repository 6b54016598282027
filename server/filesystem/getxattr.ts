import { FsError } from '../../proto/errno.ts'
import type { Caller, Getxattr } from '../../proto/generated/file-service.ts'
import { dataReply, loadInode } from './inode.ts'
import type { Outcome } from './outcome.ts'
import type { View } from './view.ts'
import { indexOf, loadXattrs } from './xattr-record.ts'
import { demandXattr } from './xattrs.ts'

/** @throws FsError ESTALE, ENODATA (none of that name), and as `demandXattr` */
export function getxattr(view: View, caller: Caller, op: Getxattr): Outcome {
  demandXattr(view, { ino: op.ino, inode: loadInode(view, op.ino) }, caller, op.name, 'read')
  const xattrs = loadXattrs(view, op.ino)
  const found = xattrs[indexOf(xattrs, op.name)]
  if (found === undefined) throw new FsError('ENODATA', 'there is no such attribute', { ino: op.ino })
  return { reply: dataReply(found.value), effects: [] }
}
