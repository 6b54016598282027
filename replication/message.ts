import type { Epoch, Incarnation, Seq } from '../proto/ids.ts'
import type { Entry, EpochStart, Mark } from './entry.ts'
import type { ItemDigest, Ms, Space } from './ports.ts'
import type { Slice, Wanted, WorkItem } from './work.ts'

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
  readonly last: Seq
  readonly space: Space
}

/** You speak for an older epoch than mine, which the envelope names. */
export interface Refused {
  readonly kind: 'refused'
}

/** A member asks the primary to be sent the stream. `attempt` is named by all that belongs to this attachment. */
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
  | { readonly kind: 'work'; readonly work: readonly WorkItem[] }
  | { readonly kind: 'verify'; readonly ticket: number; readonly item: WorkItem; readonly detail: boolean }

/** Everything up to `last` is in the sender's journal (R7). */
export interface Ack {
  readonly kind: 'ack'
  readonly attempt: number
  readonly last: Seq
  readonly number: number
}

export interface Flushed {
  readonly kind: 'flushed'
  readonly attempt: number
  readonly ticket: number
  readonly durable: Seq
}

/** A resyncing member asks for the present state of an item. */
export interface Fetch {
  readonly kind: 'fetch'
  readonly attempt: number
  readonly ticket: number
  readonly wanted: Wanted
}

/** Nothing remains to be fetched and everything is flushed: count my acknowledgements, then put me into the set (R10). */
export interface CaughtUp {
  readonly kind: 'caughtUp'
  readonly attempt: number
}

/** The sender can't go on (full disk, failed flush): drop it. */
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

/** From a member whose host went down, to the other members, while no member of the set is whole (R12). */
export interface Recovering {
  readonly kind: 'recovering'
  readonly last: Mark
  readonly amnesia: boolean
}

/** These have a connection of their own, so that bulk can't starve them (S19). */
export const controlKinds: ReadonlySet<Message['kind']> = new Set(['heartbeat', 'heartbeatReply', 'refused', 'leave'])
