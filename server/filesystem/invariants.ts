import { FsError } from '../../proto/errno.ts'
import type { Key } from '../../proto/ids.ts'
import { rootIno } from '../../proto/volume-number.ts'
import type { Inode, Xattr } from '../store/records.ts'
import { decodeAcl, isMinimal, modeOfAcl } from './acl.ts'
import { inlineBytesMax, sizeBytesMax } from './contents.ts'
import { blocksOf } from './holes.ts'
import { isDirectory, isRegular } from './mode.ts'
import { loadImage, type VolumeImage } from './volume-image.ts'
import { accessAclName, defaultAclName } from './xattr-record.ts'

/**
 * What is true of every volume at every position; says in a sentence each where it is not. Looks at everything: for
 * tests, and for those who suspect their disk.
 *
 * @param blobs by number, how long each is; left out, blobs are not looked at
 */
export function violations(
  state: Iterable<readonly [Key, Uint8Array]>,
  blobs?: ReadonlyMap<bigint, number>,
): readonly string[] {
  const found: string[] = []
  const volume = loadImage(state, found)
  if (!volume.inodes.has(rootIno)) found.push('there is no root')
  for (const [ino, inode] of volume.inodes) {
    found.push(...checkLinks(volume, ino, inode).map((sentence) => `inode ${ino} ${sentence}`))
    found.push(...checkXattrs(volume.xattrs.get(ino) ?? [], inode).map((sentence) => `inode ${ino} ${sentence}`))
    found.push(...checkContents(volume, ino, inode, blobs).map((sentence) => `inode ${ino} ${sentence}`))
  }
  for (const [kind, inos] of [
    ['orphan record', volume.orphans],
    ['contents', volume.contents.keys()],
    ['locks', volume.locks.keys()],
    ['a hold', volume.holds.keys()],
    ['extended attributes', volume.xattrs.keys()],
    ['holes', volume.holes.keys()],
    ['a name', volume.parents.keys()],
    ['names in it', volume.entries.keys()],
    ['blob', ownersOf(volume, blobs)],
  ] as const) {
    for (const ino of inos) if (!volume.inodes.has(ino)) found.push(`inode ${ino} is not there but has ${kind}`)
  }
  for (const [ino, sessions] of volume.locks) {
    for (const session of sessions) {
      if (!volume.sessions.has(session)) found.push(`inode ${ino} is locked by session ${session}, which is not there`)
    }
  }
  for (const [ino, { session }] of volume.holds) {
    if (!volume.sessions.has(session)) found.push(`inode ${ino} is held by session ${session}, which is not there`)
  }
  return [...found, ...checkCounter(volume)]
}

function* checkEntries(volume: VolumeImage, ino: bigint, inode: Inode): Iterable<string> {
  const entries = volume.entries.get(ino) ?? 0
  if (!isDirectory(inode)) {
    if (entries > 0) yield 'is no directory but has names in it'
    return
  }
  if (inode.entries !== entries) yield `counts ${inode.entries} names but has ${entries}`
  if (inode.size !== 0) yield 'is a directory with a size'
  if (inode.nlink === 0 && entries > 0) yield 'was removed but has names in it'
  if (inode.nlink > 0 && !reachesRoot(volume, ino)) yield 'is not reached from the root'
}

function checkLinks(volume: VolumeImage, ino: bigint, inode: Inode): readonly string[] {
  const found = [...checkEntries(volume, ino, inode)]
  const parents = volume.parents.get(ino) ?? []
  if (volume.orphans.has(ino) !== (inode.nlink === 0)) found.push('has no name but no orphan record, or both')
  if (!isDirectory(inode)) {
    if (inode.nlink !== parents.length) found.push(`counts ${inode.nlink} links but has ${parents.length} names`)
    return found
  }
  const names = ino === rootIno || inode.nlink === 0 ? 0 : 1
  if (parents.length !== names) found.push(`is a directory with ${parents.length} names`)
  if (names === 1 && parents[0] !== inode.parent)
    found.push(`is in ${parents[0]} but its ".." leads to ${inode.parent}`)
  if (ino === rootIno && inode.parent !== rootIno) found.push('is the root but its ".." leads elsewhere')
  const links = inode.nlink === 0 ? 0 : 2 + (volume.subdirectories.get(ino) ?? 0)
  if (inode.nlink !== links) found.push(`counts ${inode.nlink} links but is a directory with ${links}`)
  return found
}

function reachesRoot(volume: VolumeImage, start: bigint): boolean {
  const seen = new Set<bigint>()
  let at = start
  while (at !== rootIno) {
    const inode = volume.inodes.get(at)
    if (inode === undefined || !isDirectory(inode) || seen.has(at)) return false
    seen.add(at)
    at = inode.parent
  }
  return true
}

function checkContents(
  volume: VolumeImage,
  ino: bigint,
  inode: Inode,
  blobs: ReadonlyMap<bigint, number> | undefined,
): readonly string[] {
  const found: string[] = []
  const inline = volume.contents.get(ino)
  const isInline = isRegular(inode) && inode.blob === 0n
  if (inline !== undefined && !isInline) found.push('has inline contents beside a blob, or is no file')
  if (isInline && (inline ?? 0) !== inode.size) found.push(`is ${inode.size} bytes long but has ${inline ?? 0}`)
  if (inline === 0 || (inline ?? 0) > inlineBytesMax) found.push(`has ${inline} bytes of inline contents`)
  if (inode.size > sizeBytesMax) found.push(`is ${inode.size} bytes long, which is too long`)
  if (inode.blob !== 0n && blobs !== undefined && blobs.get(inode.blob) !== inode.size) {
    found.push(`is ${inode.size} bytes long but its blob ${inode.blob} is ${blobs.get(inode.blob) ?? 'not there'}`)
  }
  if ((volume.holes.get(ino) ?? 0) !== inode.holes) {
    found.push(`counts ${inode.holes} blocks of holes but has ${volume.holes.get(ino) ?? 0}`)
  }
  if (inode.holes > 0 && (inode.blob === 0n || inode.holes > blocksOf(inode.size)))
    found.push('has holes it cannot have')
  return found
}

function checkXattrs(xattrs: readonly Xattr[], inode: Inode): readonly string[] {
  const found: string[] = []
  const names = xattrs.map(({ name }) => Buffer.from(name).toString('latin1'))
  if (new Set(names).size < names.length) found.push('has an attribute twice')
  if (!isRegular(inode) && !isDirectory(inode) && names.some((name) => name.startsWith('user.'))) {
    found.push('may not have attributes of users')
  }
  for (const [index, { value }] of xattrs.entries()) {
    const name = names[index]
    if (name !== accessAclName && name !== defaultAclName) continue
    try {
      const acl = decodeAcl(value)
      if (acl.length === 0) found.push('has an ACL without entries')
      if (name === defaultAclName && !isDirectory(inode)) found.push('has a default ACL but is no directory')
      if (name === accessAclName && isMinimal(acl)) found.push('has an access ACL that its mode says')
      if (name === accessAclName && modeOfAcl(acl) !== (inode.mode & 0o777))
        found.push('has a mode that its ACL denies')
    } catch (error) {
      if (!(error instanceof FsError)) throw error
      found.push(`has a damaged ACL: ${error.message}`)
    }
  }
  return found
}

/** Owners of the blobs that are there; 0 for a blob that is nobody's. */
function ownersOf(volume: VolumeImage, blobs: ReadonlyMap<bigint, number> | undefined): readonly bigint[] {
  if (blobs === undefined) return []
  const owners = new Map([...volume.inodes].map(([ino, { blob }]) => [blob, ino]))
  return [...blobs.keys()].map((blob) => owners.get(blob) ?? 0n)
}

function checkCounter(volume: VolumeImage): readonly string[] {
  const { counter, inodes } = volume
  if (counter === undefined) return ['there is no inode counter']
  const found: string[] = []
  if (counter.used !== inodes.size) found.push(`${counter.used} inodes are counted but ${inodes.size} are there`)
  for (const ino of inodes.keys()) if (ino >= counter.next) found.push(`inode ${ino} has a number not given away yet`)
  return found
}
