import { FsError } from '../../proto/errno.ts'
import type {
  AwaitLock,
  Caller,
  GetLock,
  LockRange,
  Lock as LockRequest,
  ReleaseLocks,
  Unlock,
} from '../../proto/generated/file-service.ts'
import type { Effect } from '../store/effect.ts'
import { locksKey } from '../store/keys.ts'
import { decodeLocks, encodeLocks, type Lock, lockEndMax } from '../store/lock-records.ts'
import { done, loadInode } from './inode.ts'
import { excludes, type Locks, released, taken } from './lock-ranges.ts'
import type { At, Outcome } from './outcome.ts'
import type { View } from './view.ts'

/** Stretches on one inode that are locked, at most: they stand in one value. One more and it is ENOLCK. */
export const locksMax = 4096

export function locksOn(view: View, ino: bigint): Locks {
  const value = view.get(locksKey(ino))
  return value === undefined ? [] : decodeLocks(value)
}

/**
 * Tries for a lock. Whether it was granted is the reply, since who does not get it may lose something: flock(2) gives up
 * the lock that is to be converted before it tries for the other.
 *
 * @param promised locks that nobody has yet but others are about to take: they count as held
 * @throws FsError ESTALE, EINVAL, ENOLCK
 */
export function lock(view: View, caller: Caller, op: LockRequest, at: At, promised: Locks = []): Outcome {
  const wanted = wantedLock(op.range, at, { handle: op.handle, pid: caller.pid })
  const { ino } = rangeOf(op.range)
  loadInode(view, ino)
  const held = locksOn(view, ino)
  if (held.some((other) => excludes(other, wanted)) || promised.some((other) => excludes(other, wanted))) {
    const kept = wanted.flock ? released(held, wanted, wanted) : held
    return { reply: { $case: 'locked', value: { granted: false } }, effects: changes(ino, held, kept) }
  }
  const next = taken(held, wanted)
  if (next.length > locksMax && next.length > held.length) throw new FsError('ENOLCK', 'too many locks on one file')
  return { reply: { $case: 'locked', value: { granted: true } }, effects: changes(ino, held, next) }
}

/** Gives up what the owner has in the range, if anything. The inode may be gone. @throws FsError EINVAL */
export function unlock(view: View, _caller: Caller, op: Unlock, at: At): Outcome {
  const range = wantedLock(op.range, at)
  const { ino } = rangeOf(op.range)
  const held = locksOn(view, ino)
  return { reply: done, effects: changes(ino, held, released(held, range, range)) }
}

/** Gives up all that was taken through an open file of the session. */
export function releaseLocks(view: View, _caller: Caller, { ino, handle }: ReleaseLocks, at: At): Outcome {
  const session = sessionOf(at)
  const held = locksOn(view, ino)
  const kept = held.filter((other) => other.session !== session || other.handle !== handle)
  return { reply: done, effects: changes(ino, held, kept) }
}

/** What stands in the way of a lock: F_GETLK of fcntl(2). @throws FsError ESTALE, EINVAL */
export function getLock(view: View, _caller: Caller, op: GetLock, at: At): Outcome {
  const wanted = wantedLock(op.range, at)
  const { ino } = rangeOf(op.range)
  loadInode(view, ino)
  const other = firstOf(locksOn(view, ino).filter((held) => excludes(held, wanted)))
  if (other === undefined) {
    const value = { held: false, exclusive: false, start: 0n, end: 0n, pid: 0 }
    return { reply: { $case: 'heldLock', value }, effects: [] }
  }
  const { start, end, exclusive } = other
  const pid = other.session === wanted.session ? other.pid : 0
  return { reply: { $case: 'heldLock', value: { held: true, exclusive, start, end, pid } }, effects: [] }
}

/** May the lock be tried for? How one waits until it may is the shell's matter. @throws FsError ESTALE, EINVAL, EAGAIN */
export function awaitLock(view: View, _caller: Caller, op: AwaitLock, at: At): Outcome {
  const wanted = wantedLock(op.range, at)
  const { ino } = rangeOf(op.range)
  if (op.leave) return { reply: done, effects: [] }
  loadInode(view, ino)
  if (locksOn(view, ino).some((other) => excludes(other, wanted))) throw new FsError('EAGAIN', 'it is locked')
  return { reply: done, effects: [] }
}

/** What frees all locks of a session on one inode. */
export function withoutSession(view: View, ino: bigint, session: bigint): readonly Effect[] {
  const held = locksOn(view, ino)
  return changes(
    ino,
    held,
    held.filter((other) => other.session !== session),
  )
}

/** What a request asks for. @throws FsError EINVAL */
export function wantedLock(
  range: LockRange | undefined,
  at: At,
  { handle, pid }: Pick<Lock, 'handle' | 'pid'> = { handle: 0n, pid: 0 },
): Lock {
  const { owner, flock, exclusive, start, end } = rangeOf(range)
  if (start > end || end > lockEndMax) throw new FsError('EINVAL', 'a lock on no bytes', { start, end })
  return { session: sessionOf(at), owner, flock, exclusive, start, end, handle, pid }
}

/** @throws FsError EINVAL */
export function rangeOf(range: LockRange | undefined): LockRange {
  if (range === undefined) throw new FsError('EINVAL', 'a lock without a range')
  return range
}

function sessionOf({ session }: At): bigint {
  if (session === undefined) throw new TypeError('locks belong to a session, and there is none')
  return session
}

const firstOf = (locks: Locks): Lock | undefined =>
  locks.reduce<Lock | undefined>(
    (first, lock) => (first === undefined || lock.start < first.start ? lock : first),
    undefined,
  )

function changes(ino: bigint, before: Locks, after: Locks): readonly Effect[] {
  if (same(before, after)) return []
  const key = locksKey(ino)
  return after.length === 0 ? [{ kind: 'delete', key }] : [{ kind: 'put', key, value: encodeLocks(after) }]
}

const same = (a: Locks, b: Locks): boolean =>
  a === b || (a.length === b.length && a.every((lock, index) => lock === b[index]))
