import type { Epoch, Seq } from '../proto/ids.ts'
import type { EpochStart, Mark } from './entry.ts'

/** One side's journal, as far as comparing needs it. */
export interface History {
  readonly starts: readonly EpochStart[]
  readonly last: Mark
}

/**
 * The last entry that both sides have: in the greatest epoch known to both, the smaller of its two ends (R34). 0 when
 * they share no epoch. Two entries of one label are the same entry, since one primary wrote all of its epoch.
 */
export function commonPoint(a: History, b: History): Seq {
  for (const start of a.starts.toReversed()) {
    if (!b.starts.some((other) => other.epoch === start.epoch)) continue
    return Math.min(endOf(a, start.epoch), endOf(b, start.epoch)) as Seq
  }
  return 0 as Seq
}

/** The last sequence written under an epoch that is in the history. */
function endOf(history: History, epoch: Epoch): number {
  const next = history.starts.find((start) => start.epoch > epoch)
  return next === undefined ? history.last.seq : next.first - 1
}
