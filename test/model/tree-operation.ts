import type { AnyOperation } from '../../server/filesystem/operate.ts'

/** What belongs to a session rather than to a caller, and what drivers say and no program. */
export type SessionOperation = Extract<
  AnyOperation,
  {
    $case: 'lock' | 'unlock' | 'releaseLocks' | 'getLock' | 'awaitLock' | 'noteReads' | 'releaseHolds' | 'awaitRelease'
  }
>

/** Operations on the tree and what is in it. */
export type TreeOperation = Exclude<AnyOperation, SessionOperation>

export const isOfSession = (op: AnyOperation): op is SessionOperation => Object.hasOwn(ofSession, op.$case)

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
