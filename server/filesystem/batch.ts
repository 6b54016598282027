import { errnos, FsError } from '../../proto/errno.ts'
import type { Batch, FailedStep, Step } from '../../proto/generated/file-service.ts'
import { holdKey } from '../store/keys.ts'
import { create } from './create.ts'
import { Draft } from './draft.ts'
import { demandHold } from './holds.ts'
import { loadInode } from './inode.ts'
import { mkdir } from './mkdir.ts'
import { openFlags } from './open.ts'
import type { At, Outcome } from './outcome.ts'
import { rename } from './rename.ts'
import { rmdir } from './rmdir.ts'
import { setattr } from './setattr.ts'
import { symlink } from './symlink.ts'
import { unlink } from './unlink.ts'
import type { View } from './view.ts'
import { write } from './write.ts'

/**
 * Operations that were held back, one after another: what each of them does the next one finds. One that fails does
 * nothing, and is named in the reply. Each counts as done when it returned to who asked for it.
 */
export function batch(view: View, { steps }: Batch, at: At): Outcome {
  const draft = new Draft(view)
  const failed: FailedStep[] = []
  for (const [index, step] of steps.entries()) {
    try {
      draft.take(perform(draft, step, at).effects)
      for (const { ino } of step.also) if (loadInode(draft, ino).nlink === 0) draft.delete(holdKey(ino))
    } catch (error) {
      if (!(error instanceof FsError)) throw error
      failed.push({ index, errno: errnos[error.errno] })
    }
  }
  return { reply: { $case: 'batched', value: { failed } }, effects: draft.effects() }
}

/** @throws FsError as the operation; EIO (the hold stands no more), EINVAL (not what may be held back) */
function perform(view: View, { also, atNs, call, caller, under }: Step, outer: At): Outcome {
  const op = call?.kind
  if (op === undefined || caller === undefined || under === undefined)
    throw new FsError('EINVAL', 'a step lacks something')
  for (const { ino, number } of [under, ...also]) demandHold(view, ino, number, outer)
  const at = { ...outer, nowNs: atNs < outer.nowNs ? atNs : outer.nowNs, mayHold: true }
  if (op.$case === 'create') {
    return create(view, caller, { ...op.value, flags: op.value.flags | openFlags.exclusive }, at)
  }
  if (op.$case === 'mkdir') return mkdir(view, caller, op.value, at)
  if (op.$case === 'symlink') return symlink(view, caller, op.value, at)
  if (op.$case === 'setattr') return setattr(view, caller, op.value, at)
  if (op.$case === 'write') return write(view, caller, op.value, at)
  if (op.$case === 'unlink') return unlink(view, caller, op.value, at)
  if (op.$case === 'rmdir') return rmdir(view, caller, op.value, at)
  if (op.$case === 'rename') return rename(view, caller, op.value, at)
  throw new FsError('EINVAL', 'it is not held back by anybody', { operation: op.$case })
}
