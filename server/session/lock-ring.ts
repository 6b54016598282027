import { excludes, isOwnedBy, type Locks } from '../filesystem/lock-ranges.ts'
import type { Lock } from '../store/lock-records.ts'

export interface WaitingLock {
  readonly ino: bigint
  readonly lock: Lock
}

/**
 * Would who waits for `start` wait for itself, by way of others who wait? Only fcntl(2) asks: flock(2) waits for ever.
 * An owner of which any thread waits counts as waiting, as in Linux (fs/locks.c, posix_locks_deadlock).
 *
 * @param waits all that is waited for
 * @param locksOn what is held
 */
export function waitsForItself(
  start: WaitingLock,
  waits: Iterable<WaitingLock>,
  locksOn: (ino: bigint) => Locks,
): boolean {
  const byOwner = new Map<string, WaitingLock[]>()
  for (const wait of waits) {
    if (wait.lock.flock) continue
    const name = ownerName(wait.lock)
    byOwner.set(name, [...(byOwner.get(name) ?? []), wait])
  }
  const seen = new Set<string>()
  const open = [start]
  for (let wait = open.pop(); wait !== undefined; wait = open.pop()) {
    const { lock, ino } = wait
    for (const held of locksOn(ino)) {
      if (!excludes(held, lock)) continue
      if (isOwnedBy(held, start.lock)) return true
      const name = ownerName(held)
      if (seen.has(name)) continue
      seen.add(name)
      open.push(...(byOwner.get(name) ?? []))
    }
  }
  return false
}

const ownerName = ({ session, owner }: Lock): string => `${session}/${owner}`
