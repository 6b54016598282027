import { FsError } from '../../proto/errno.ts'
import type {
  AwaitRelease,
  Caller,
  HeldChild,
  ReleaseHolds,
  TakeHold,
  TakeNumbers,
} from '../../proto/generated/file-service.ts'
import { childrenMax, numbersMax } from '../../proto/holds.ts'
import type { Key } from '../../proto/ids.ts'
import type { Effect } from '../store/effect.ts'
import { decodeHold, encodeHold, type Hold } from '../store/hold-records.ts'
import { holdKey, holdKeyOf, parseKey, prefixes } from '../store/keys.ts'
import { type Dentry, typeDirectory } from '../store/records.ts'
import { findName } from './directory.ts'
import { Draft } from './draft.ts'
import { isGuarded, settableFlags } from './flags.ts'
import { attributes, changeInode, done, loadInode } from './inode.ts'
import { isDirectory } from './mode.ts'
import { giveNumbers } from './new-inode.ts'
import type { At, Outcome } from './outcome.ts'
import { shown } from './shown.ts'
import type { View } from './view.ts'
import { accessAclName, defaultAclName, loadAcl } from './xattr-record.ts'

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

/**
 * Gives the session the hold on a directory that it wants, and says what is known of it as of then; and the holds on files
 * in it, as far as they are nobody else's. @throws FsError ESTALE, ENOTDIR, EINVAL (too many names)
 */
export function takeDirectoryHold(view: View, _caller: Caller, op: TakeHold, at: At): Outcome {
  const { ino, names, number } = op
  if (names.length > childrenMax) throw new FsError('EINVAL', 'so many holds are not given at once', { ino })
  const inode = loadInode(view, ino)
  if (!isDirectory(inode)) throw new FsError('ENOTDIR', 'it is not a directory', { ino })
  const draft = new Draft(view)
  const hold = inode.nlink > 0 ? takeHold(draft, ino, number, at) : undefined
  // Who has a lease on it lets go of it, as of what is changed.
  const { flags, entries } = hold === undefined ? inode : changeInode(draft, ino, inode, {})
  const acls = ([accessAclName, defaultAclName] as const).some((name) => loadAcl(view, ino, name) !== undefined)
  const plain = !acls && (flags & settableFlags) === 0
  const dentries = hold === undefined ? [] : names.map((name) => findName(view, ino, name))
  const found = dentries.filter((dentry) => dentry !== undefined).length
  const children = dentries.flatMap((dentry, index) => takeChild(draft, { dentry, index, first: op.children }, at))
  const value = {
    attributes: attributes(ino, inode),
    hold,
    plain,
    entries: BigInt(entries),
    found,
    children,
    atNs: at.nowNs,
  }
  return { reply: { $case: 'heldDirectory', value }, effects: draft.effects() }
}

/** What others have a hold on is not even looked at: they would be asked for it. */
function takeChild(
  draft: Draft,
  { dentry, first, index }: { dentry: Dentry | undefined; index: number; first: bigint },
  at: At,
): HeldChild[] {
  if (dentry === undefined) return []
  const { ino } = dentry
  if (dentry.type === typeDirectory)
    return [{ index, attributes: attributes(ino, loadInode(draft, ino)), hold: undefined }]
  const before = holdOn(draft, ino)
  if (before !== undefined && before.session !== at.session) return []
  const inode = loadInode(draft, ino)
  if (inode.nlink !== 1 || isGuarded(inode)) return []
  if (before !== undefined) return [{ index, attributes: shown(draft, ino, inode), hold: before.number }]
  const hold = takeHold(draft, ino, first + BigInt(index), at)
  if (hold === undefined) return []
  changeInode(draft, ino, inode, {})
  return [{ index, attributes: shown(draft, ino, inode), hold }]
}

/** Numbers for inodes that the session will make. @throws FsError EINVAL */
export function takeNumbers(view: View, _caller: Caller, { count }: TakeNumbers): Outcome {
  if (count === 0 || count > numbersMax) throw new FsError('EINVAL', 'so many numbers are not given at once', { count })
  const draft = new Draft(view)
  const first = giveNumbers(draft, count)
  return { reply: { $case: 'numbers', value: { first, count } }, effects: draft.effects() }
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
