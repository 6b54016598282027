import type { AnyOperation } from '../../server/filesystem/operate.ts'

/** Operations on the tree and what is in it: those that this model knows. Locks have one of their own. */
export type TreeOperation = Exclude<
  AnyOperation,
  { $case: 'lock' | 'unlock' | 'releaseLocks' | 'getLock' | 'awaitLock' }
>
