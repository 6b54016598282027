import { locksOn, withoutSession } from '../filesystem/locks.ts'
import type { Effect } from '../store/effect.ts'
import { parseKey, prefixes } from '../store/keys.ts'
import { decodeLocks } from '../store/lock-records.ts'
import type { StatePort } from './ports.ts'
import { scanAll } from './scan-all.ts'

/** Inodes that one session may have locks on at once: one entry frees them all. One more and it is ENOLCK. */
export const lockedInodesMax = 65_536

/** Which sessions have locks on which inodes, at the primary: what the volume's keys say, the other way round. */
export class LockHolders {
  readonly #state: Pick<StatePort, 'pending' | 'scan'>
  /** invariant: by session, no set is empty; at least the inodes on which it has locks in pending state */
  readonly #inos = new Map<bigint, Set<bigint>>()

  constructor(state: Pick<StatePort, 'pending' | 'scan'>) {
    this.#state = state
  }

  /** A reign begins: all is read anew. Nothing may be proposed meanwhile. */
  async begin(): Promise<void> {
    this.#inos.clear()
    for await (const [row, value] of scanAll(this.#state, prefixes.locks)) {
      const parsed = parseKey(row)
      if (parsed?.kind !== 'locks') throw new Error('a scan of locks brought something else')
      for (const { session } of decodeLocks(value)) this.#add(session, parsed.ino)
    }
  }

  /** The session has changed its locks on the inode. */
  look(session: bigint, ino: bigint): void {
    if (locksOn(this.#state.pending, ino).some((held) => held.session === session)) this.#add(session, ino)
    else this.#remove(session, ino)
  }

  mayLock(session: bigint, ino: bigint): boolean {
    const inos = this.#inos.get(session)
    return inos === undefined || inos.size < lockedInodesMax || inos.has(ino)
  }

  lockedBy(session: bigint): ReadonlySet<bigint> {
    return this.#inos.get(session) ?? none
  }

  /** What frees all that the session has. */
  *freeing(session: bigint): Generator<Effect> {
    for (const ino of this.lockedBy(session)) yield* withoutSession(this.#state.pending, ino, session)
  }

  ended(session: bigint): void {
    this.#inos.delete(session)
  }

  #add(session: bigint, ino: bigint): void {
    const inos = this.#inos.get(session)
    if (inos === undefined) this.#inos.set(session, new Set([ino]))
    else inos.add(ino)
  }

  #remove(session: bigint, ino: bigint): void {
    const inos = this.#inos.get(session)
    inos?.delete(ino)
    if (inos?.size === 0) this.#inos.delete(session)
  }
}

const none: ReadonlySet<bigint> = new Set()
