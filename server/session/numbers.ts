import type { Epoch } from '../../proto/ids.ts'
import type { View } from '../filesystem/view.ts'
import type { Effect } from '../store/effect.ts'
import { inodeCounter, sessionCounter } from '../store/keys.ts'
import { decodeCounter, encodeCounter } from '../store/records.ts'

/** Numbers that one reign may give away before they run into the next one's: at 10,000 a second in 79 days. */
const perEpoch = 1n << 36n

/**
 * Numbers of inodes and sessions are for ever (R31, S28), but the counters are state like any other: when all hosts lose
 * power they may go back, and a client may still hold what was given away after that. Epochs never come back, so each
 * reign counts from a place of its own: this is what moves the counters there, if they are not beyond it.
 */
export function freshNumbers(view: View, epoch: Epoch): readonly Effect[] {
  const first = BigInt(epoch) * perEpoch
  const effects: Effect[] = []
  for (const key of [inodeCounter, sessionCounter]) {
    const value = view.get(key)
    if (value === undefined) throw new Error('the volume has no counters: it was never formatted')
    const { next, used } = decodeCounter(value)
    if (next < first) effects.push({ kind: 'put', key, value: encodeCounter({ next: first, used }) })
  }
  return effects
}
