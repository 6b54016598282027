import { FsError } from '../../proto/errno.ts'
import type { Caller, DirectoryEntry, Readdir } from '../../proto/generated/file-service.ts'
import type { Key } from '../../proto/ids.ts'
import { dentriesKey, dentriesPrefix, inodeKey, nameHashMax, parseKey } from '../store/keys.ts'
import { type Dentry, decodeDentries, decodeInode, type Inode, typeDirectory } from '../store/records.ts'
import { demandAlive } from './directory.ts'
import { asBuffer, loadInode } from './inode.ts'
import { isDirectory } from './mode.ts'
import type { Outcome } from './outcome.ts'
import { shown } from './shown.ts'
import type { View } from './view.ts'

/**
 * Names are listed by hash, then slot. The cookie of a name is both together (hash × 256 + slot, below 2^61), so it
 * needs no memory, and stays true while others come and go. `.` and `..` have cookies below those of all names.
 */
const cookies = { start: 0n, dot: 1n, dotDot: 2n } as const
const slotBits = 8n

/** Names in one answer, at most: bounds its size and the time of a scan. */
export const namesMax = 4096

/**
 * Says what is to be scanned; `listing` makes the answer. The right to read was checked when it was opened.
 *
 * @throws FsError ESTALE, ENOTDIR, ENOENT (it was removed), EINVAL (no such cookie)
 */
export function readdir(view: View, _caller: Caller, op: Readdir): Outcome {
  const inode = directoryOf(view, op)
  const from = dentriesKey(op.ino, Number(op.cookie >> slotBits))
  const scan = { prefix: dentriesPrefix(op.ino), from, count: scanCount(op) }
  return { reply: { $case: 'listing', value: { entries: [], end: false, parent: inode.parent } }, effects: [], scan }
}

/**
 * The answer to a readdir, from what its scan brought; `view` and `rows` are of one position.
 *
 * @param without inodes that are not looked at: of these it says no attributes
 * @throws as `readdir`
 */
export function listing(
  view: View,
  op: Readdir,
  rows: Iterable<readonly [Key, Uint8Array]>,
  without: ReadonlySet<bigint> = new Set(),
): Outcome['reply'] {
  const inode = directoryOf(view, op)
  const entries: DirectoryEntry[] = specialEntries(op, inode)
  const wanted = wantedCount(op)
  if (entries.length > wanted) return answer(entries.slice(0, wanted), { end: false, inode })
  let scanned = 0
  for (const [key, value] of rows) {
    scanned++
    const parsed = parseKey(key)
    if (parsed?.kind !== 'dentries') throw new Error('a scan of names brought something else')
    for (const dentry of decodeDentries(value)) {
      const cookie = (BigInt(parsed.hash) << slotBits) | BigInt(dentry.slot)
      if (cookie <= op.cookie) continue
      if (entries.length >= wanted) return answer(entries, { end: false, inode })
      const attributes = op.attributes && !without.has(dentry.ino) ? find(view, dentry.ino) : undefined
      entries.push({ ...nameEntry(dentry), cookie, attributes })
    }
  }
  return answer(entries, { end: scanned < scanCount(op), inode })
}

function directoryOf(view: View, op: Readdir): Inode {
  const inode = loadInode(view, op.ino)
  if (!isDirectory(inode)) throw new FsError('ENOTDIR', 'it is not a directory', { ino: op.ino })
  demandAlive({ ino: op.ino, inode })
  if (op.cookie >> slotBits > BigInt(nameHashMax)) throw new FsError('EINVAL', 'there is no such cookie')
  return inode
}

const wantedCount = (op: Readdir): number => Math.min(Math.max(op.count, 1), namesMax)
/** One more than wanted: where a scan goes on, the first row can be one that was listed before. */
const scanCount = (op: Readdir): number => wantedCount(op) + 1

function specialEntries(op: Readdir, inode: Inode): DirectoryEntry[] {
  const common = { type: typeDirectory, attributes: undefined }
  const all = [
    { ...common, name: Buffer.from('.'), ino: op.ino, cookie: cookies.dot },
    { ...common, name: Buffer.from('..'), ino: inode.parent, cookie: cookies.dotDot },
  ]
  return all.filter(({ cookie }) => cookie > op.cookie)
}

const nameEntry = ({ name, ino, type }: Dentry): Pick<DirectoryEntry, 'name' | 'ino' | 'type'> => ({
  name: asBuffer(name),
  ino,
  type,
})

/** None if it is gone: the caller looks it up, or does without. */
function find(view: View, ino: bigint): DirectoryEntry['attributes'] {
  const value = view.get(inodeKey(ino))
  return value === undefined ? undefined : shown(view, ino, decodeInode(value))
}

const answer = (
  entries: DirectoryEntry[],
  { end, inode }: { readonly end: boolean; readonly inode: Inode },
): Outcome['reply'] => ({ $case: 'listing', value: { entries, end, parent: inode.parent } })
