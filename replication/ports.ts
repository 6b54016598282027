import type { Epoch, Incarnation, NodeId, Seq } from '../proto/ids.ts'
import type { Entry, EpochStart, Mark } from './entry.ts'
import type { Message } from './message.ts'
import type { VolumeRecord } from './record.ts'
import type { ResyncMark, Slice, Touched, Wanted, WorkItem } from './work.ts'

/** Milliseconds of this host's monotonic clock, which counts suspended time. Never compared between hosts (R13). */
export type Ms = number

/** Everything a replica may touch. What comes back arrives as its `on...` methods. */
export interface Ports {
  readonly clock: Clock
  readonly random: Random
  readonly network: Network
  readonly directory: DirectoryPort
  readonly storage: Storage
  readonly host: Host
  readonly log: Log
}

export interface Clock {
  now(): Ms
}

export interface Random {
  /** In [0, 1). */
  next(): number
}

/**
 * Messages between members. They may be lost, doubled, delayed and overtaken; what arrives is as it was sent.
 * Messages whose kind is in `controlKinds` travel on a connection of their own (S19).
 */
export interface Network {
  send(to: NodeId, message: Message): void
}

/** Answers arrive as `Replica.onRecord`, also for a swap that failed: it then brings the version that won. */
export interface DirectoryPort {
  /** Compare-and-swap: takes effect at most once, only while the record's version is `expected`. May be sent again. */
  swap(expected: number, next: VolumeRecord): void
  /** Asks for the present record. */
  read(): void
}

export type Log = (event: string, fields: Readonly<Record<string, unknown>>) => void

/** What the file server above a replica is told. Called in the middle of a replica's step: it must not call back in. */
export interface Host {
  /**
   * State up to `to` is visible here, if anything is. Called after `Storage.commit`, and when a resync begins: then `to` is
   * where the journal begins anew, which may be less than before, if what was committed here was lost everywhere else.
   */
  committed(to: Seq): void
  /** An entry is in this member's journal: clients of this member are to let go of what they keep of what it changes (R21). */
  appended(entry: Entry): void
  /** The journal has lost what came after `to`, or begins anew after it: what was told of the rest says nothing any more. */
  cut(to: Seq): void
  restarted(base: Seq): void
  /**
   * Clients attached to this process keep nothing of what entries up to here change; beyond the journal's end when nobody
   * is being asked. When it has grown otherwise than by `appended`, `Replica.onRecalled` is called.
   */
  recalled(): Seq
  /**
   * Processes that some client of the volume may have leases of: known before the first of them is given (S21). undefined:
   * what the journal says of them is just being read.
   */
  providers(): Iterable<Self> | undefined
  /** Some client may still have leases of that process: no other process has heard from it since. */
  isKept(provider: Self): boolean
  /** Whether this member serves, and as what, has changed; or another member is primary now. */
  roleChanged(): void
  /** Answer to `Replica.askCommit`; undefined: it can't be known here now, ask again or elsewhere. */
  commitAnswer(ticket: number, committed: Seq | undefined): void
  /** Answer to `Replica.flush`: everything up to the position asked is on every in-sync member's disk; or not. */
  flushAnswer(ticket: number, outcome: 'flushed' | 'lost'): void
  /** Answer to `Replica.verify`: one item, at one position, digested by every in-sync member. */
  verifyAnswer(ticket: number, answer: VerifyAnswer): void
}

export type VerifyAnswer =
  | { readonly outcome: 'lost' }
  | { readonly outcome: 'digests'; readonly at: Seq; readonly digests: ReadonlyMap<NodeId, ItemDigest> }

/** What one member found. Two members are equal in an item if and only if their `digest` is. */
export interface ItemDigest {
  readonly digest: Uint8Array
  /** Parts (keys, or blocks named `blob:offset`) that fail this member's own checksum. */
  readonly damaged: readonly string[]
  /** Set for a `keyRange` cut short: the key the next item begins with. Members may differ: take the smallest. */
  readonly detail: readonly (readonly [part: string, digest: string])[]
}

/** What `Storage` knew when it was opened. */
export interface Opened {
  /** The greatest epoch this member has acknowledged anything under (R5). */
  readonly epoch: Epoch
  /** The last entry of the journal, or the mark the journal begins after. */
  readonly last: Mark
  /** The entry that the journal begins after: it can be read from base.seq + 1 on. */
  readonly base: Mark
  readonly history: readonly EpochStart[]
  /** Committed and applied for certain. <= last.seq, unless the journal lost its end (amnesia). */
  readonly applied: Seq
  /** On this disk for certain: journal, blobs and store (S11). <= applied */
  readonly durable: Seq
  /** The host went down since: the journal's end may be missing (R12). */
  readonly amnesia: boolean
  readonly resync: ResyncMark | undefined
  /** How often this store has been opened, this time included. On the disk already: no later opening has it again. */
  readonly opening: number
}

/**
 * One member's journal and state. Calls without a callback are done when they return, as far as kill -9 can tell;
 * only `flush` reaches the disk. Callbacks come later, never inside the call, in the order of the calls.
 * A broken invariant or an I/O error other than a full disk throws: the process ends and another member takes over.
 */
export interface Storage {
  readonly opened: Opened

  /**
   * This member's journal is the longest there is, after everybody lost power: what it has is what there is (R12).
   * Until this, or `endResync`, every opening says `amnesia`, however often the process starts.
   */
  trustJournal(): void

  /** Puts the next entry (last.seq + 1) where kill -9 can't reach it, payload included (R7). `full`: nothing was written. */
  append(entry: Entry): 'appended' | 'full'
  /** Forgets all entries after `last`. None of them was committed. */
  cut(last: Seq): void
  /** Entries from `from` on, whole, at most `bytesMax` but at least one; undefined if they no longer are there whole. */
  read(from: Seq, bytesMax: number): readonly Entry[] | undefined
  /** The label and digest of one entry, or of the base; undefined when it is older than the base. */
  markAt(at: Seq): Mark | undefined
  /** Payloads from `from` on must stay readable: somebody attached has not acknowledged them. */
  retain(from: Seq): void
  /** The 32-bit checksum of an entry's body, for `nextChain`. */
  check(body: Uint8Array): number

  /** Applies every entry up to `to`; visible when it returns. */
  commit(to: Seq): void

  /** Remembers the greatest epoch seen, and the history it has, before anything is acknowledged under it (R5). */
  storeEpoch(epoch: Epoch): void

  /**
   * Brings to the disk what stands there at the call: the whole journal with its payloads, and what was applied to blobs.
   * `upTo` is the last entry then in the journal, committed or not.
   */
  flush(done: (outcome: 'flushed' | 'failed', upTo: Seq) => void): void

  /** What changed after `after`, up to what is committed at the call, or later. */
  touchedSince(after: Seq, done: (touched: Touched) => void): void
  /** What is in the journal after `after`, committed or not. For what a returning member did alone (R35). */
  touchedInTail(after: Seq): Touched

  /**
   * Marks this member as not in sync on disk, empties the journal and lets it begin after `base` (R36).
   * With a mark there already: `work` is added to what remains.
   */
  beginResync(base: Mark, history: readonly EpochStart[], work: readonly WorkItem[]): void
  resync(): ResyncMark | undefined
  /** What this member has of an item, perhaps cut to a part of it (`rest` is the other part). */
  describe(item: WorkItem, done: (wanted: Wanted, rest: WorkItem | undefined) => void): void
  /** Reads the present committed state of an item. `done` runs while that is still the present state (S13). */
  readSlice(wanted: Wanted, done: (slice: Omit<Slice, 'at'>) => void): void
  /** Applies a slice and, in the same batch, replaces the first remaining item by `rest`. `full`: nothing was done. */
  applySlice(slice: Slice, rest: readonly WorkItem[]): 'applied' | 'full'
  /** Takes the mark away. Everything was flushed before. */
  endResync(): void

  /** Digests an item as it is at the moment of the call. `detail`: part by part as well. */
  digest(item: WorkItem, options: { readonly detail: boolean }, done: (digest: ItemDigest) => void): void

  /** Space on this member's disk, bytes. */
  space(): Space
}

export interface Space {
  readonly freeBytes: number
  readonly totalBytes: number
}

/** Who speaks: fixed for the life of a process. */
export interface Self {
  readonly node: NodeId
  readonly incarnation: Incarnation
}

/** All lengths in ms. S18 has the reasons; the simulator runs the same ratios. */
export interface Timing {
  readonly heartbeat: number
  /** What a mirror promises the primary: not to take over. */
  readonly primaryLease: number
  /** What the primary promises a mirror: not to commit without it. Shorter than `primaryLease` (R22). */
  readonly mirrorLease: number
  /** The giver waits length x (1 + drift) + slack. */
  readonly drift: number
  readonly slack: number
  /** A mirror silent for so long is dropped. */
  readonly silence: number
  /** A member that acknowledges nothing for so long, though it has entries, is dropped (R15). */
  readonly progress: number
  /** An unanswered swap, attach or question is sent again after so long. */
  readonly retry: number
}

export const standardTiming: Timing = {
  heartbeat: 150,
  primaryLease: 2000,
  mirrorLease: 1500,
  drift: 0.05,
  slack: 50,
  silence: 600,
  progress: 5000,
  retry: 300,
}
