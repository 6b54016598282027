import type { Attributes } from '../../proto/generated/file-service.ts'
import type { CachedListing } from './cached-listing.ts'

/** The inode behind a name; `none`: there is no such name. */
export type CachedEntry = bigint | 'none'

/**
 * What is known of one inode for as long as one unbroken lease stands. Who keeps something that an answer said keeps the
 * lease with it, and looks whether it is still alive: the next lease on the same inode is another object.
 */
export class Lease {
  readonly ino: bigint
  /** Recalled, given up, or run out: what was learnt under it may be old. */
  alive = true
  attributes: Attributes | undefined
  target: Buffer | undefined
  /** By name (latin1 of its bytes). */
  readonly xattrs = new Map<string, Buffer | 'none'>()
  /** As root sees them (true), and as everybody else does. */
  readonly xattrNames = new Map<boolean, readonly Buffer[]>()
  /** Of a directory, by name (latin1 of its bytes). */
  readonly entries = new Map<string, CachedEntry>()
  listing: CachedListing | undefined
  /** Who was allowed to open it, and how; see openKey. */
  readonly opens = new Set<string>()
  /** What it counts in the cache's bound. */
  weight = 1

  constructor(ino: bigint) {
    this.ino = ino
  }

  measure(): number {
    const { entries, listing, opens, xattrs, xattrNames } = this
    return 1 + entries.size + (listing?.size ?? 0) + opens.size + xattrs.size + xattrNames.size
  }

  /** All that a change of the inode may change, but for names in it. */
  forgetOwn(): void {
    this.attributes = undefined
    this.listing = undefined
    this.xattrNames.clear()
    this.xattrs.clear()
    this.opens.clear()
  }
}
