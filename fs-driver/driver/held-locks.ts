import type { LockRange } from '../../proto/generated/file-service.ts'
import { volumeOf } from '../../proto/volume-number.ts'

/** One owner's locks on one inode: at most these. */
interface Owned {
  readonly handles: Set<bigint>
  start: bigint
  end: bigint
  /** Under way, and ever begun. */
  trying: number
  tries: number
}

interface LockedInode {
  readonly owners: Map<string, Owned>
  /** Handles through which a driver before this one may have taken locks, whoever's. */
  readonly inherited: Set<bigint>
}

/** What unlocking may conclude when it has succeeded. */
export interface Unlocking {
  readonly range: LockRange
  readonly tries: number
}

/**
 * Through which handles and by whom something may be locked: the kernel says neither when it closes files, and most of
 * them have never been locked. Never too little; at most what was locked and not given up as a whole.
 */
export class HeldLocks {
  readonly #inodes = new Map<bigint, LockedInode>()
  /** Handles whose locks went with their session, so that whoever relies on them must not go on. */
  readonly #lost = new Set<bigint>()

  /** Left by the driver before this one. */
  inherit(ino: bigint, handle: bigint): void {
    this.#inode(ino).inherited.add(handle)
  }

  /** A lock is about to be tried for. */
  trying(range: LockRange, handle: bigint): void {
    const { owners } = this.#inode(range.ino)
    const name = nameOf(range)
    const owned = owners.get(name) ?? { handles: new Set(), start: range.start, end: range.end, trying: 0, tries: 0 }
    owners.set(name, owned)
    owned.handles.add(handle)
    owned.trying++
    owned.tries++
    if (range.start < owned.start) owned.start = range.start
    if (range.end > owned.end) owned.end = range.end
  }

  tried(range: LockRange): void {
    const owned = this.#owned(range)
    if (owned !== undefined) owned.trying--
  }

  unlocking(range: LockRange): Unlocking {
    return { range, tries: this.#owned(range)?.tries ?? 0 }
  }

  unlocked({ range, tries }: Unlocking): void {
    const owned = this.#owned(range)
    if (owned === undefined || owned.trying > 0 || owned.tries !== tries) return
    if (range.start > owned.start || range.end < owned.end) return
    this.#inodes.get(range.ino)?.owners.delete(nameOf(range))
    this.#tidy(range.ino)
  }

  /** May this owner of POSIX locks have any on the inode? */
  mayOwn(ino: bigint, owner: bigint): boolean {
    const inode = this.#inodes.get(ino)
    return inode !== undefined && (inode.inherited.size > 0 || inode.owners.has(nameOf({ owner, flock: false })))
  }

  /** May anybody have a lock through this handle? */
  isThrough(ino: bigint, handle: bigint): boolean {
    const inode = this.#inodes.get(ino)
    if (inode === undefined) return false
    return inode.inherited.has(handle) || [...inode.owners.values()].some(({ handles }) => handles.has(handle))
  }

  /** The handle is closed, and with it all that was locked through it. */
  released(ino: bigint, handle: bigint): void {
    this.#lost.delete(handle)
    const inode = this.#inodes.get(ino)
    if (inode === undefined) return
    inode.inherited.delete(handle)
    for (const [name, { handles }] of inode.owners) {
      if (handles.delete(handle) && handles.size === 0) inode.owners.delete(name)
    }
    this.#tidy(ino)
  }

  /** The session with that volume has ended, and with it every lock. What is just being tried for may be had in the next. */
  lose(volume = 0): void {
    for (const [ino, { inherited, owners }] of [...this.#inodes]) {
      if (volumeOf(ino) !== volume) continue
      for (const handle of inherited) this.#lost.add(handle)
      inherited.clear()
      for (const [name, { handles, trying, tries }] of owners) {
        if (tries > trying) for (const handle of handles) this.#lost.add(handle)
        if (trying === 0) owners.delete(name)
      }
      this.#tidy(ino)
    }
  }

  isLost(handle: bigint): boolean {
    return this.#lost.size > 0 && this.#lost.has(handle)
  }

  #inode(ino: bigint): LockedInode {
    const inode = this.#inodes.get(ino) ?? { owners: new Map(), inherited: new Set() }
    this.#inodes.set(ino, inode)
    return inode
  }

  #owned(range: LockRange): Owned | undefined {
    return this.#inodes.get(range.ino)?.owners.get(nameOf(range))
  }

  #tidy(ino: bigint): void {
    const inode = this.#inodes.get(ino)
    if (inode?.owners.size === 0 && inode.inherited.size === 0) this.#inodes.delete(ino)
  }
}

const nameOf = ({ owner, flock }: Pick<LockRange, 'owner' | 'flock'>): string => `${flock ? 'flock' : 'posix'} ${owner}`
