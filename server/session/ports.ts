import type { Caller, Operation, Reply } from '../../proto/generated/file-service.ts'
import type { Seq } from '../../proto/ids.ts'
import type { Position } from '../../replication/entry.ts'
import type { Replica } from '../../replication/replica.ts'
import type { VolumeStore } from '../store/volume-store.ts'

/** What sessions need of replication. */
export type ReplicaPort = Pick<
  Replica,
  'propose' | 'mayRead' | 'mayChange' | 'primary' | 'askCommit' | 'flush' | 'handOver' | 'status' | 'standing'
>

/** What sessions need of the store. */
export type StatePort = Pick<VolumeStore, 'committed' | 'pending' | 'dirty' | 'readBlob' | 'scan' | 'backlog' | 'space'>

export type FileCall = NonNullable<Operation['kind']>
export type FileResult = NonNullable<Reply['kind']>

/** A client's change. The triple makes it exactly once (R29), wherever and however often it arrives. */
export interface Change {
  readonly session: bigint
  readonly slot: number
  readonly seq: bigint
  readonly caller: Caller
  readonly operation: FileCall
}

/** What a request came to. `position`: of the state that answered. */
export type Answer =
  | {
      readonly kind: 'done'
      readonly errno: number
      readonly reply: FileResult | undefined
      readonly position: Position
      /**
       * The answer is of this state, or of no older one: what no later entry touches may be leased with it. Absent: nothing
       * may, as it was made long ago.
       */
      readonly at?: Seq
      /** What the session has seen was lost with the power of all hosts: nothing was done, and the errno is EIO. */
      readonly lost?: true
    }
  /** The session is over for good (R31). */
  | { readonly kind: 'ended' }

/** `elsewhere`: not decided here, since this member is not the primary, or stopped being it meanwhile. Ask again. */
export type Attempt = Answer | { readonly kind: 'elsewhere' }

/** Where wall-clock time comes in: for the times of files, and nothing else. */
export type WallClock = () => bigint

/** Changes that a session may have under way at once. Bounds its part of the reply table (R29). */
export const slotsMax = 128

/** Whether somebody still waits for the answer to a request. */
export interface Wanted {
  /** The client is gone: nobody will read an answer. */
  closed: boolean
  /** The client would rather have EINTR, if nothing has happened yet. */
  cancelled: boolean
}
