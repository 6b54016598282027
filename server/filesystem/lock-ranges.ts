import type { Lock } from '../store/lock-records.ts'

/**
 * The locks on one inode, as sets of stretches. Of one owner they never overlap, and those that touch and are alike are
 * one. Source: POSIX fcntl(), flock(2); fs/locks.c.
 */
export type Locks = readonly Lock[]

/** Who has a lock. An owner never stands in its own way. */
export type LockOwner = Pick<Lock, 'session' | 'owner' | 'flock'>
export type LockRange = Pick<Lock, 'start' | 'end'>

export const isOwnedBy = (a: LockOwner, b: LockOwner): boolean =>
  a.owner === b.owner && a.session === b.session && a.flock === b.flock

/** Can both not be held at once? */
export const excludes = (a: Lock, b: Lock): boolean =>
  (a.exclusive || b.exclusive) && overlap(a, b) && a.flock === b.flock && !isOwnedBy(a, b)

/** Takes `wanted`, which nobody excludes: what its owner had there before is replaced, split where needed. */
export function taken(locks: Locks, wanted: Lock): Locks {
  return joined(released(locks, wanted, wanted), wanted)
}

/** Without what `owner` has within `range`. */
export function released(locks: Locks, owner: LockOwner, range: LockRange): Locks {
  if (!locks.some((lock) => overlap(lock, range) && isOwnedBy(lock, owner))) return locks
  return locks.flatMap((lock) => (isOwnedBy(lock, owner) ? outside(lock, range) : [lock]))
}

const overlap = (a: LockRange, b: LockRange): boolean => a.start <= b.end && b.start <= a.end

/** What is left of a lock outside a range: nothing, one piece or two. */
function outside(lock: Lock, { start, end }: LockRange): readonly Lock[] {
  if (!overlap(lock, { start, end })) return [lock]
  const left = lock.start < start ? [{ ...lock, end: start - 1n }] : []
  const right = lock.end > end ? [{ ...lock, start: end + 1n }] : []
  return [...left, ...right]
}

/** With one more, which overlaps none of its owner's. */
function joined(locks: Locks, added: Lock): Locks {
  const isNeighbour = (lock: Lock): boolean =>
    isOwnedBy(lock, added) &&
    lock.exclusive === added.exclusive &&
    lock.handle === added.handle &&
    (lock.end + 1n === added.start || added.end + 1n === lock.start)
  let { start, end } = added
  for (const lock of locks) {
    if (!isNeighbour(lock)) continue
    if (lock.start < start) start = lock.start
    if (lock.end > end) end = lock.end
  }
  return [...locks.filter((lock) => !isNeighbour(lock)), { ...added, start, end }]
}
