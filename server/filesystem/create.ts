import { FsError } from '../../proto/errno.ts'
import type { Caller, Create } from '../../proto/generated/file-service.ts'
import { typeDirectory, typeRegular } from '../store/records.ts'
import { findName, searchable } from './directory.ts'
import { Draft } from './draft.ts'
import { takeHold } from './holds.ts'
import { entryReply } from './inode.ts'
import { checkName, isDot, isDotDot } from './name.ts'
import { demandTakesNames, makeInode } from './new-inode.ts'
import { open, openFlags } from './open.ts'
import type { At, Outcome } from './outcome.ts'
import type { View } from './view.ts'

/**
 * open(2) with O_CREAT. Who creates a file may use it as the flags say, whatever its mode is. Without O_EXCL a file that
 * is there is opened. What else is there by then has come since the kernel looked: ESTALE makes it look again.
 *
 * @throws FsError as `directoryForNew` and `open`; ESTALE (neither file nor directory), ENOSPC
 */
export function create(view: View, caller: Caller, op: Create, at: At): Outcome {
  const directory = searchable(view, caller, op.parent)
  checkName(op.name)
  if (isDot(op.name) || isDotDot(op.name)) throw new FsError('EISDIR', 'it is a directory', { parent: op.parent })
  const found = findName(view, op.parent, op.name)
  if (found === undefined) {
    demandTakesNames(view, directory, caller)
    const draft = new Draft(view)
    const made = { type: typeRegular, bits: op.mode, umask: op.umask, ino: op.newIno }
    const { ino, inode } = makeInode(draft, caller, directory, op.name, made, at.nowNs)
    const hold = takeHold(draft, ino, op.take, at)
    return { reply: entryReply(ino, inode, hold), effects: draft.effects() }
  }
  if ((op.flags & openFlags.exclusive) !== 0) throw new FsError('EEXIST', 'the name is taken', { parent: op.parent })
  if (found.type === typeDirectory) throw new FsError('EISDIR', 'it is a directory', { ino: found.ino })
  if (found.type !== typeRegular) throw new FsError('ESTALE', 'the name has become something else', { ino: found.ino })
  const opened = open(view, caller, { ino: found.ino, flags: op.flags, killPrivileges: false }, at)
  return { ...opened, reply: asEntry(opened) }
}

function asEntry({ reply }: Outcome): Outcome['reply'] {
  if (reply.$case !== 'attributes') throw new Error(`an open is answered with attributes, not ${reply.$case}`)
  return { $case: 'entry', value: { attributes: reply.value } }
}
