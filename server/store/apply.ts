import type { Blobs } from './blobs.ts'
import { inTail } from './body.ts'
import type { BodyCheck } from './body-check.ts'
import type { Effect } from './effect.ts'
import type { KeyState } from './key-state.ts'
import type { BlockSums } from './sums.ts'

/** A member's committed state. */
export interface State {
  readonly keys: KeyState
  readonly blobs: Blobs
  readonly sums: BlockSums
}

export interface ApplyHow {
  readonly sound: boolean
  /** Of the body that the effects are from, see `checkBody`. */
  readonly parts?: BodyCheck['parts'] | undefined
}

/**
 * Makes effects part of the committed state: blob ranges on their files, keys in the overlay. Not `sound`: what was in
 * the blobs before is not certain, so that nothing is known of the blocks that are touched.
 */
export function applyEffects(state: State, effects: readonly Effect[], how: ApplyHow): void {
  let tails = 0
  for (const effect of effects) {
    switch (effect.kind) {
      case 'put':
        state.keys.set(effect.key, effect.value)
        break
      case 'delete':
        state.keys.set(effect.key, undefined)
        break
      case 'blob.write':
      case 'blob.truncate':
      case 'blob.zero':
      case 'blob.delete':
        applyToBlob(state, effect, how.sound, inTail(effect) ? how.parts?.[tails++] : undefined)
    }
  }
}

function applyToBlob(
  { blobs, sums }: State,
  effect: Exclude<Effect, { kind: 'put' | 'delete' }>,
  sound: boolean,
  parts: Uint32Array | undefined,
): void {
  switch (effect.kind) {
    case 'blob.write': {
      const before = blobs.write(effect.blob, effect.offset, effect.data)
      return sums.wrote(effect.blob, effect.offset, effect.data, { before, sound, parts })
    }
    case 'blob.truncate':
      blobs.truncate(effect.blob, effect.size)
      return sums.truncated(effect.blob, effect.size)
    case 'blob.zero':
      blobs.zero(effect.blob, effect.offset, effect.count)
      return sums.forget(effect.blob, effect.offset, effect.count)
    case 'blob.delete':
      blobs.delete(effect.blob)
      return sums.deleted(effect.blob)
  }
}
