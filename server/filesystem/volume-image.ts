import type { Key } from '../../proto/ids.ts'
import { decodeHold, type Hold } from '../store/hold-records.ts'
import { decodeHoles } from '../store/holes-record.ts'
import { inodeCounter, nameHash, type ParsedKey, parseKey } from '../store/keys.ts'
import { decodeLocks } from '../store/lock-records.ts'
import * as records from '../store/records.ts'
import { isDirectory, typeOf } from './mode.ts'
import { checkName, isDot, isDotDot } from './name.ts'

/** A volume's whole state, decoded. */
export interface VolumeImage {
  readonly inodes: Map<bigint, records.Inode>
  /** By inode: the directories that have a name for it, one for each name. */
  readonly parents: Map<bigint, bigint[]>
  /** By directory: how many names it has. */
  readonly entries: Map<bigint, number>
  /** By directory: how many directories are in it. */
  readonly subdirectories: Map<bigint, number>
  readonly orphans: Set<bigint>
  /** By inode: how many bytes stand inline. */
  readonly contents: Map<bigint, number>
  /** By inode: the sessions that have locks on it. */
  readonly locks: Map<bigint, ReadonlySet<bigint>>
  readonly holds: Map<bigint, Hold>
  readonly sessions: Set<bigint>
  readonly xattrs: Map<bigint, readonly records.Xattr[]>
  /** By inode: how many blocks are holes. */
  readonly holes: Map<bigint, number>
  counter: records.Counter | undefined
}

/** Decodes everything. What can't be, or contradicts itself, is said in `found`. */
export function loadImage(state: Iterable<readonly [Key, Uint8Array]>, found: string[]): VolumeImage {
  const volume: VolumeImage = {
    inodes: new Map(),
    parents: new Map(),
    entries: new Map(),
    subdirectories: new Map(),
    orphans: new Set(),
    contents: new Map(),
    locks: new Map(),
    holds: new Map(),
    sessions: new Set(),
    xattrs: new Map(),
    holes: new Map(),
    counter: undefined,
  }
  const types: { readonly ino: bigint; readonly type: number }[] = []
  for (const [key, value] of state) {
    const parsed = parseKey(key)
    try {
      if (parsed === undefined) found.push(`there is an unknown key ${Buffer.from(key, 'latin1').toString('hex')}`)
      else if (parsed.kind === 'dentries') types.push(...loadNames(volume, parsed, value, found))
      else loadOne(volume, key, parsed, value)
    } catch (error) {
      if (!(error instanceof Error)) throw error
      found.push(`key ${Buffer.from(key, 'latin1').toString('hex')}: ${error.message}`)
    }
  }
  for (const { ino, type } of types) {
    const inode = volume.inodes.get(ino)
    if (inode !== undefined && typeOf(inode) !== type) found.push(`inode ${ino} has a name that says type ${type}`)
  }
  countSubdirectories(volume)
  return volume
}

function loadOne(
  volume: VolumeImage,
  key: Key,
  parsed: Exclude<ParsedKey, { kind: 'dentries' }>,
  value: Uint8Array,
): void {
  switch (parsed.kind) {
    case 'inode':
      volume.inodes.set(parsed.ino, records.decodeInode(value))
      return
    case 'contents':
      volume.contents.set(parsed.ino, records.decodeContents(value).length)
      return
    case 'xattrs':
      volume.xattrs.set(parsed.ino, records.decodeXattrs(value))
      return
    case 'holes':
      volume.holes.set(
        parsed.ino,
        decodeHoles(value).reduce((sum, [from, to]) => sum + to - from, 0),
      )
      return
    case 'orphan':
      records.decodeOrphan(value)
      volume.orphans.add(parsed.ino)
      return
    case 'counter':
      if (key === inodeCounter) volume.counter = records.decodeCounter(value)
      return
    case 'locks':
      volume.locks.set(parsed.ino, new Set(decodeLocks(value).map(({ session }) => session)))
      return
    case 'hold':
      volume.holds.set(parsed.ino, decodeHold(value))
      return
    case 'session':
      volume.sessions.add(parsed.session)
      return
    case 'reply':
    case 'place':
      return // whose they are, the sessions know
  }
}

function loadNames(
  volume: VolumeImage,
  { parent, hash }: { readonly parent: bigint; readonly hash: number },
  value: Uint8Array,
  found: string[],
): readonly records.Dentry[] {
  const dentries = records.decodeDentries(value)
  const texts = new Set<string>()
  for (const { name, ino } of dentries) {
    const text = Buffer.from(name).toString('latin1')
    checkName(name)
    if (isDot(name) || isDotDot(name)) found.push(`directory ${parent} has a name that is "." or ".."`)
    if (nameHash(name) !== hash) found.push(`directory ${parent} has the name "${text}" in a wrong place`)
    if (texts.has(text)) found.push(`directory ${parent} has the name "${text}" twice`)
    texts.add(text)
    volume.parents.set(ino, [...(volume.parents.get(ino) ?? []), parent])
  }
  volume.entries.set(parent, (volume.entries.get(parent) ?? 0) + dentries.length)
  return dentries
}

function countSubdirectories({ inodes, parents, subdirectories }: VolumeImage): void {
  for (const [ino, containing] of parents) {
    const inode = inodes.get(ino)
    if (inode === undefined || !isDirectory(inode)) continue
    for (const parent of containing) subdirectories.set(parent, (subdirectories.get(parent) ?? 0) + 1)
  }
}
