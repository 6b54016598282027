import type { Key, Seq } from '../../proto/ids.ts'
import type { Log, Opened, Storage } from '../../replication/ports.ts'
import type { View } from '../filesystem/view.ts'

export interface StoreOptions {
  /** Contents of /proc/sys/kernel/random/boot_id: another one than last time means that the host went down (R12). */
  readonly bootId: string
  readonly log: Log
  /** Told once when the store can't go on (I/O error): the process should end. Without it the error is thrown. */
  readonly onFailure?: (error: Error) => void
  /** Does a value match its own checksum? Standard: `intact` of seal.ts. */
  readonly valueIsSound?: (key: Key, value: Uint8Array) => boolean
  readonly limits?: Partial<StoreLimits>
}

export interface StoreLimits {
  /** A disk with less than this free takes no entry (append answers `full`). */
  readonly reserveBytes: number
  readonly segmentBytes: number
  /** Older segments are folded to what they touched when all of them are longer. */
  readonly journalBytesMax: number
  /** How long committed keys gather in memory before one batch takes them to level. */
  readonly writeDelayMs: number
  readonly checkpointMs: number
  /** Over this much in memory, not yet in level, `backlog` says so. */
  readonly overlayBytesMax: number
}

/** What waits in memory for level, and in staging for everybody. Whoever makes entries slows down when `over`. */
export interface Backlog {
  readonly overlayBytes: number
  readonly stagingBytes: number
  readonly over: boolean
}

/** (Being written; this is the surface others build on. `implements Storage` follows with the bodies.) */
export declare class VolumeStore {
  static open(dir: string, options: StoreOptions): Promise<VolumeStore>
  readonly opened: Opened
  /** Committed state. */
  readonly committed: View
  /** Committed state and, over it, what is appended but not committed. */
  readonly pending: View
  /** The newest entry that is appended, not committed, and touches the key. */
  dirty(key: Key): Seq | undefined
  /** Committed bytes of a blob; short at its end, empty when there is no such blob. */
  readBlob(blob: bigint, offset: number, length: number): Promise<Uint8Array>
  /** Up to `count` committed keys >= `from` that begin with `prefix`, in order, with their values, all at one position. */
  scan(prefix: Key, from: Key, count: number): Promise<(readonly [Key, Uint8Array])[]>
  backlog(): Backlog
  /** Everything to the disk, and a mark of a clean stop. */
  close(): Promise<void>
}
export interface VolumeStore extends Storage {}
