import { FsError } from '../../proto/errno.ts'
import type { AwaitRelease, Caller, ReleaseHolds } from '../../proto/generated/file-service.ts'
import type { Key } from '../../proto/ids.ts'
import type { Effect } from '../store/effect.ts'
import { decodeHold, encodeHold, type Hold } from '../store/hold-records.ts'
import { holdKey, holdKeyOf, parseKey, prefixes } from '../store/keys.ts'
import type { Draft } from './draft.ts'
import { done } from './inode.ts'
import type { At, Outcome } from './outcome.ts'
import type { View } from './view.ts'

export function holdOn(view: View, ino: bigint): Hold | undefined {
  const value = view.get(holdKey(ino))
  return value === undefined ? undefined : decodeHold(value)
}

/** Of the inodes whose keys are among these: those on which another session has a hold. */
export function heldByOthers(view: View, keys: Iterable<Key>, session: bigint): bigint[] {
  const inos = new Set<bigint>()
  for (const key of keys) {
    if (!key.startsWith(prefixes.inode)) continue
    const value = view.get(holdKeyOf(key))
    if (value === undefined || decodeHold(value).session === session) continue
    const parsed = parseKey(key)
    if (parsed?.kind === 'inode') inos.add(parsed.ino)
  }
  return [...inos]
}

/** Gives the session the hold that it wants. @returns its number; undefined: it is not to have it */
export function takeHold(draft: Draft, ino: bigint, number: bigint | undefined, at: At): bigint | undefined {
  const { mayHold = false, session } = at
  if (number === undefined || session === undefined || !mayHold) return undefined
  const other = holdOn(draft, ino)
  if (other !== undefined && other.session !== session) return undefined
  draft.put(holdKey(ino), encodeHold({ session, number }))
  return number
}

/** What was held back is written only while nobody else may have written. @throws FsError EIO */
export function demandHold(view: View, ino: bigint, number: bigint, { session }: At): void {
  const hold = holdOn(view, ino)
  if (hold?.session === session && hold?.number === number) return
  throw new FsError('EIO', 'it was held back for too long, and others may have written since', { ino })
}

/** Gives up those that the session has under these numbers. The inodes may be gone. */
export function releaseHolds(view: View, _caller: Caller, { holds }: ReleaseHolds, { session }: At): Outcome {
  const effects: Effect[] = []
  for (const { ino, number } of holds) {
    const hold = holdOn(view, ino)
    if (hold?.session === session && hold?.number === number) effects.push({ kind: 'delete', key: holdKey(ino) })
  }
  return { reply: done, effects }
}

/** May these be used by others than who holds them? How one waits until they may is the shell's matter. @throws FsError EAGAIN */
export function awaitRelease(view: View, _caller: Caller, { inos }: AwaitRelease, { session }: At): Outcome {
  for (const ino of inos) {
    const hold = holdOn(view, ino)
    if (hold !== undefined && hold.session !== session)
      throw new FsError('EAGAIN', 'somebody has a hold on it', { ino })
  }
  return { reply: done, effects: [] }
}
