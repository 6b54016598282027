import type { Epoch, Seq } from '../proto/ids.ts'
import type { EpochStart, Mark, Position } from './entry.ts'

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

/** The epoch under which the entry at `at` was written; 0 before the first. */
export function epochAt(starts: readonly EpochStart[], at: Seq): Epoch {
  return starts.findLast((start) => start.first <= at)?.epoch ?? (0 as Epoch)
}

/**
 * What a position that somebody has seen is to a member with this history, of which everything up to `committed` counts:
 * - `here`: part of its committed state
 * - `ahead`: it may come
 * - `lost`: it will never come. All hosts of the set lost power, and others wrote what stands there now (R12)
 */
export type Standing = 'here' | 'ahead' | 'lost'

export function standing(starts: readonly EpochStart[], committed: Seq, seen: Position): Standing {
  if (seen.seq === 0) return 'here'
  const index = starts.findLastIndex((start) => start.epoch <= seen.epoch)
  const own = starts[index]
  const isKnown = own !== undefined && own.epoch === seen.epoch && own.first <= seen.seq
  const next = starts[index + 1]
  // Only what a later epoch has committed settles what the earlier ones have written.
  if (next !== undefined && next.first <= committed) return isKnown && seen.seq < next.first ? 'here' : 'lost'
  return isKnown && seen.seq <= committed ? 'here' : 'ahead'
}
