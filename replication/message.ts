import type { Epoch, Incarnation, Seq } from '../proto/ids.ts'
import type { Entry, EpochStart, Mark } from './entry.ts'
import type { ItemDigest, Ms, Space } from './ports.ts'
import type { Progress, Slice, Wanted, WorkItem } from './work.ts'

/** Who sent a message, and under which epoch (R5, S20). In every message, both ways. */
export interface Envelope {
  readonly epoch: Epoch
  readonly incarnation: Incarnation
}

/** What members say to each other. Times are the sender's own clock and only ever echoed back to it (R13). */
export type Message = Envelope &
  (
    | Heartbeat
    | HeartbeatReply
    | Refused
    | Attach
    | Attached
    | StreamMessage
    | Ack
    | Flushed
    | Fetch
    | CaughtUp
    | Leave
    | CommitQuery
    | CommitAnswer
    | Verified
    | Recovering
  )

/** Primary to every member, each `timing.heartbeat`. */
export interface Heartbeat {
  readonly kind: 'heartbeat'
  readonly sentAt: Ms
  /** The process this is meant for, and its attachment: a lease is nobody else's (S20). Attempt 0: not attached. */
  readonly to: Incarnation
  readonly attempt: number
  /** Stream messages sent to that attachment so far: who has fewer, and gets no more, has lost some. */
  readonly number: number
  /** The receiver's `sentAt` that this answers, and for how long from then it may serve reads; 0: no lease (R13). */
  readonly echo: Ms
  readonly leaseMs: number
  readonly committed: Seq
}

/** Member to primary. `promiseMs`: from `echo` on, so long, the sender will not take over; 0: it promises nothing. */
export interface HeartbeatReply {
  readonly kind: 'heartbeatReply'
  readonly sentAt: Ms
  readonly echo: Ms
  readonly promiseMs: number
  /** The attachment that `last` and `recalled` (as in `Ack`) and `durable` (flushed) speak for; 0: none. */
  readonly attempt: number
  readonly last: Seq
  readonly recalled: Seq
  readonly durable: Seq
  /** Applied to this member's state, for status. */
  readonly applied: Seq
  readonly progress: Progress | undefined
  readonly space: Space
}

/** You speak for an older epoch than mine, which the envelope names. */
export interface Refused {
  readonly kind: 'refused'
}

/**
 * A member asks the primary to be sent the stream. `attempt` is named by all that belongs to this attachment; it grows
 * from one to the next, also from one process of the member to the next.
 */
export interface Attach {
  readonly kind: 'attach'
  readonly attempt: number
  readonly last: Mark
  readonly base: Mark
  readonly history: readonly EpochStart[]
  /** Committed here for certain, and flushed for certain. */
  readonly applied: Seq
  readonly durable: Seq
  readonly amnesia: boolean
  /** A resync is under way: its state counts only together with what remains (R36). */
  readonly resyncing: boolean
  /** Wants everything compared, whatever the histories say. */
  readonly everything: boolean
}

/**
 * Answer to `Attach`.
 * - `follow`: cut your journal to `from`; the stream goes on with the next entry
 * - `resync`: everything the two sides changed after `from` is to be fetched (first `cutTo` says which of your own
 *   entries count as changed by you); your journal begins anew after `base`
 */
export interface Attached {
  readonly kind: 'attached'
  readonly attempt: number
  readonly mode: 'follow' | 'resync'
  readonly from: Seq
  readonly base: Mark
  readonly history: readonly EpochStart[]
  readonly work: readonly WorkItem[]
}

/** Primary to an attached member; `number` counts from 1 within an attachment and has no holes. */
export interface StreamMessage {
  readonly kind: 'stream'
  readonly attempt: number
  readonly number: number
  readonly committed: Seq
  readonly content: StreamContent
}

export type StreamContent =
  | { readonly kind: 'entries'; readonly entries: readonly Entry[] }
  | { readonly kind: 'commit' }
  | { readonly kind: 'flush'; readonly ticket: number }
  | { readonly kind: 'slice'; readonly ticket: number; readonly slice: Slice }
  | { readonly kind: 'verify'; readonly ticket: number; readonly item: WorkItem; readonly detail: boolean }

/** Prepared and recalled, the two things that an entry needs of every member (S8). R15 looks at the first only. */
export interface Ack {
  readonly kind: 'ack'
  readonly attempt: number
  /** Everything up to here is in the sender's journal (R7). */
  readonly last: Seq
  /** Clients of the sender keep nothing of what entries up to here change (R21). <= last */
  readonly recalled: Seq
}

export interface Flushed {
  readonly kind: 'flushed'
  readonly attempt: number
  readonly ticket: number
  readonly durable: Seq
}

/** A resyncing member asks for the present state of items: one slice each, in this order, the first under `ticket`, the next under the number after it. */
export interface Fetch {
  readonly kind: 'fetch'
  readonly attempt: number
  readonly ticket: number
  readonly wanted: readonly Wanted[]
}

/** Nothing remains to be fetched and everything is flushed: count my acknowledgements, then put me into the set (R10). */
export interface CaughtUp {
  readonly kind: 'caughtUp'
  readonly attempt: number
}

/** The sender can't go on for now (full disk): drop it. */
export interface Leave {
  readonly kind: 'leave'
  readonly reason: string
}

export interface CommitQuery {
  readonly kind: 'commitQuery'
  readonly ticket: number
}

export interface CommitAnswer {
  readonly kind: 'commitAnswer'
  /** The process that asked: the one after it counts its tickets from 1 again. */
  readonly to: Incarnation
  readonly ticket: number
  readonly committed: Seq
}

export interface Verified {
  readonly kind: 'verified'
  readonly attempt: number
  readonly ticket: number
  readonly at: Seq
  readonly digest: ItemDigest
}

/** Everything that was ever in its journal; perhaps not the end of it (R12); or a state that is being brought over. */
export type Wholeness = 'everything' | 'a beginning' | 'parts'

/** Between members, while none leads and some have lost the end of their journals: who has the longest (R12). */
export interface Recovering {
  readonly kind: 'recovering'
  readonly last: Mark
  readonly has: Wholeness
  /** Processes the sender has heard since it started: an answer that does not name the asker is an old one (VR's nonce). */
  readonly heard: readonly Incarnation[]
}

/** These have a connection of their own, so that bulk can't starve them (S19). */
export const controlKinds: ReadonlySet<Message['kind']> = new Set(['heartbeat', 'heartbeatReply', 'refused', 'leave'])
