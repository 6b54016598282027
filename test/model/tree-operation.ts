import type { AnyOperation } from '../../server/filesystem/operate.ts'

/** What belongs to a session rather than to a caller, and what drivers say and no program. */
export type SessionOperation = Extract<
  AnyOperation,
  {
    $case: 'lock' | 'unlock' | 'releaseLocks' | 'getLock' | 'awaitLock' | 'noteReads' | 'releaseHolds' | 'awaitRelease'
  }
>

/** How drivers make things ahead of servers: of that no program can tell (test/fs-driver/write-behind/held-names.test.ts). */
type AheadOperation = Extract<AnyOperation, { $case: 'takeHold' | 'takeNumbers' | 'batch' }>

/** All that histories are made of. */
export type ModelOperation = Exclude<AnyOperation, AheadOperation>

/** Operations on the tree and what is in it. */
export type TreeOperation = Exclude<ModelOperation, SessionOperation>

export const isOfSession = (op: ModelOperation): op is SessionOperation => Object.hasOwn(ofSession, op.$case)

const ofSession: Readonly<Record<SessionOperation['$case'], true>> = {
  lock: true,
  unlock: true,
  releaseLocks: true,
  getLock: true,
  awaitLock: true,
  noteReads: true,
  releaseHolds: true,
  awaitRelease: true,
}
