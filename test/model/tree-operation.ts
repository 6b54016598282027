import type { AnyOperation } from '../../server/filesystem/operate.ts'

/**
 * Operations on the tree and what is in it: those that this model knows. Locks have one of their own; reads are noted by
 * drivers and not by programs; and of holds no caller sees anything.
 */
export type TreeOperation = Exclude<
  AnyOperation,
  {
    $case: 'lock' | 'unlock' | 'releaseLocks' | 'getLock' | 'awaitLock' | 'noteReads' | 'releaseHolds' | 'awaitRelease'
  }
>
