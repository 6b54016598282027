import { FsError } from '../../proto/errno.ts'
import type { Caller, Mknod } from '../../proto/generated/file-service.ts'
import * as records from '../store/records.ts'
import { Draft } from './draft.ts'
import { entryReply } from './inode.ts'
import { directoryForNew, makeInode } from './new-inode.ts'
import type { At, Outcome } from './outcome.ts'
import { isRoot } from './permission.ts'
import type { View } from './view.ts'

/**
 * A file, FIFO, socket or device. Anybody may make the character device 0:0, which is how overlays mark a removal.
 *
 * @throws FsError as `directoryForNew`; EPERM (a directory; a device, if not root), EINVAL (other types), ENOSPC
 */
export function mknod(view: View, caller: Caller, op: Mknod, at: At): Outcome {
  const type = (op.mode & 0o170000) >>> 12 || records.typeRegular
  if (type === records.typeDirectory) throw new FsError('EPERM', 'a directory is made with mkdir')
  const isDevice = type === records.typeCharacter || type === records.typeBlock
  if (!isDevice && type !== records.typeRegular && type !== records.typeFifo && type !== records.typeSocket) {
    throw new FsError('EINVAL', 'mknod makes no such type', { mode: op.mode })
  }
  const directory = directoryForNew(view, caller, op.parent, op.name)
  if (isDevice && !isRoot(caller) && !(type === records.typeCharacter && op.rdev === 0)) {
    throw new FsError('EPERM', 'only root makes devices', { uid: caller.uid })
  }
  const draft = new Draft(view)
  const made = { type, bits: op.mode, umask: op.umask, rdev: isDevice ? op.rdev : 0 }
  const { ino, inode } = makeInode(draft, caller, directory, op.name, made, at.nowNs)
  return { reply: entryReply(ino, inode), effects: draft.effects() }
}
