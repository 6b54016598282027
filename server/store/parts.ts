import type { Seq } from '../../proto/ids.ts'
import type { Log } from '../../replication/ports.ts'
import type { State } from './apply.ts'
import type { Folds } from './folds.ts'
import type { Journal } from './journal.ts'
import type { IsSound } from './key-slices.ts'
import type { MetaFile } from './meta-file.ts'
import type { Pending } from './pending.ts'
import type { ResyncLog } from './resync-log.ts'
import type { SpaceGauge } from './space-gauge.ts'
import type { Staging } from './staging.ts'

export interface StoreLimits {
  /** A disk with less than this free takes no entry with contents (`append` answers `full`). */
  readonly reserveBytes: number
  readonly segmentBytes: number
  /** When segments are longer together, the oldest are folded to what they touched. */
  readonly journalBytesMax: number
  readonly chunkBytes: number
  /** How long committed keys gather in memory before one batch takes them to level. */
  readonly writeDelayMs: number
  readonly checkpointMs: number
  /** With more than this in memory that is not in level, or in staging, `backlog` says so. */
  readonly overlayBytesMax: number
  readonly stagingBytesMax: number
}

export const standardLimits: StoreLimits = {
  reserveBytes: 8 << 20,
  segmentBytes: 64 << 20,
  journalBytesMax: 256 << 20,
  chunkBytes: 16 << 20,
  writeDelayMs: 100,
  checkpointMs: 5000,
  overlayBytesMax: 64 << 20,
  stagingBytesMax: 256 << 20,
}

/** What the parts of an open store share. */
export interface Parts extends State {
  readonly dir: string
  readonly log: Log
  readonly limits: StoreLimits
  readonly isSound: IsSound
  readonly meta: MetaFile
  readonly journal: Journal
  readonly staging: Staging
  readonly folds: Folds
  readonly pending: Pending
  readonly gauge: SpaceGauge
  /** The disk is full in the middle of what must be done: gives away what was kept for that. False: there is nothing. */
  readonly makeRoom: () => boolean
  /** State up to here is visible. */
  committed: Seq
  /** Up to here blobs may already hold what later entries wrote, so that applying makes no sums. */
  soundAfter: Seq
  resync: ResyncLog | undefined
  /** Journal and level contradict each other: nothing is written that would hide it, until one of them is given up. */
  torn: boolean
  /** Payloads before this are nobody's business any more but ours. */
  retainFrom: Seq
  /** A flush has counted on staging for payloads up to here. */
  relied: Seq
  /** Blobs are on the disk up to here. */
  blobsSynced: Seq
}
