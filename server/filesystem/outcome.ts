import type { Reply } from '../../proto/generated/file-service.ts'
import type { Key } from '../../proto/ids.ts'
import type { Effect } from '../store/effect.ts'

/**
 * What an operation says: its reply, and what is to change before anybody may see it. At most one of `blobRead`, `scan`
 * and `inodes` is there: then the reply is still without what they name, and the effects are none.
 *
 * Whatever touches an inode's contents, or the names in a directory, also puts that inode: so it is enough to look at
 * the keys that an operation read to know whether its answer depends on something that is not committed.
 */
export interface Outcome {
  readonly reply: NonNullable<Reply['kind']>
  readonly effects: readonly Effect[]
  /** READ of contents that stand in a blob: the shell fetches them and puts them into the `data` reply. */
  readonly blobRead?: { readonly blob: bigint; readonly offset: number; readonly length: number }
  /** READDIR: the shell scans these keys (prefix, from a key on) and builds the reply with `listing()`. */
  readonly scan?: { readonly prefix: Key; readonly from: Key; readonly count: number }
  /** STATFS: how many inodes there are; the shell builds the reply with `space()`. */
  readonly inodes?: number
}

/** When and upon what an operation is executed: the only way in for the clock, the disk, and the bytes of blobs. */
export interface At {
  /** Nanoseconds since 1970. */
  readonly nowNs: bigint
  /** Whose session asks: locks are its. */
  readonly session?: bigint
  /** What is free for files on the fullest member; undefined: more than anybody asks for. */
  readonly freeBytes?: number | undefined
  /** Whoever wants a hold may be given one. */
  readonly mayHold?: boolean
  /** What a copy found at its source: `sourceOf` (copy-range.ts) says what is to be read. */
  readonly source?: Buffer | undefined
}
