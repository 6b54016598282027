import { errnos, FsError } from '../../proto/errno.ts'
import type { Batch, FailedStep, Step } from '../../proto/generated/file-service.ts'
import { create } from './create.ts'
import { Draft } from './draft.ts'
import { demandHold } from './holds.ts'
import { mkdir } from './mkdir.ts'
import { openFlags } from './open.ts'
import type { At, Outcome } from './outcome.ts'
import { setattr } from './setattr.ts'
import { symlink } from './symlink.ts'
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
    } catch (error) {
      if (!(error instanceof FsError)) throw error
      failed.push({ index, errno: errnos[error.errno] })
    }
  }
  return { reply: { $case: 'batched', value: { failed } }, effects: draft.effects() }
}

/** @throws FsError as the operation; EIO (the hold stands no more), EINVAL (not what may be held back) */
function perform(view: View, { atNs, call, caller, under }: Step, outer: At): Outcome {
  const op = call?.kind
  if (op === undefined || caller === undefined || under === undefined)
    throw new FsError('EINVAL', 'a step lacks something')
  demandHold(view, under.ino, under.number, outer)
  const at = { ...outer, nowNs: atNs < outer.nowNs ? atNs : outer.nowNs, mayHold: true }
  if (op.$case === 'create') {
    return create(view, caller, { ...op.value, flags: op.value.flags | openFlags.exclusive }, at)
  }
  if (op.$case === 'mkdir') return mkdir(view, caller, op.value, at)
  if (op.$case === 'symlink') return symlink(view, caller, op.value, at)
  if (op.$case === 'setattr') return setattr(view, caller, op.value, at)
  if (op.$case === 'write') return write(view, caller, op.value, at)
  throw new FsError('EINVAL', 'it is not held back by anybody', { operation: op.$case })
}
