import { bodyAt, DamagedRecord, frame, frameBytes, seal, unseal } from './seal.ts'

/**
 * Values of a volume's replicated state, in the frame of seal.ts. All numbers little-endian. A decoder gives a value for
 * what the encoder made and throws DamagedRecord for all other bytes; what it gives shares memory with what it read.
 */

/** An inode. Fields that its type does not use are 0, or empty. */
export interface Inode {
  /** Type and permission bits, as st_mode. */
  readonly mode: number
  readonly uid: number
  readonly gid: number
  readonly nlink: number
  /** Bytes. Of a directory always 0. */
  readonly size: number
  readonly atimeNs: bigint
  readonly mtimeNs: bigint
  readonly ctimeNs: bigint
  readonly btimeNs: bigint
  /** Counts the changes of this inode. */
  readonly version: number
  /** Device: as the kernel's 32-bit encoding. */
  readonly rdev: number
  /** Bits of `inodeFlags` (server/filesystem/flags.ts). */
  readonly flags: number
  /** Regular file: blocks of 4096 bytes that were never written; which, says the holes record. */
  readonly holes: number
  /** Regular file: the blob with its contents, exactly `size` bytes long; 0: contents are inline. */
  readonly blob: bigint
  /** Directory: where `..` leads; the root's is itself. */
  readonly parent: bigint
  /** Directory: how many names there are in it. */
  readonly entries: number
  /** Symlink. */
  readonly target: Uint8Array
}

const kindInode = 0x69
const inodeVersion = 1
const inodeBytes = 66
/** The same and, behind the fixed part, flags and holes: written only where one of them is not 0. */
const extendedVersion = 2
const extensionBytes = 12
const nothing = new Uint8Array(0)

export function encodeInode(inode: Inode): Buffer {
  const type = inode.mode >>> 12
  const isExtended = inode.flags !== 0 || inode.holes !== 0
  const fixedBytes = isExtended ? inodeBytes + extensionBytes : inodeBytes
  const version = isExtended ? extendedVersion : inodeVersion
  const value = frame(kindInode, version, fixedBytes + variableBytes(type, inode.target.length))
  const view = viewOf(value)
  view.setUint16(bodyAt, inode.mode, true)
  view.setUint32(bodyAt + 2, inode.uid, true)
  view.setUint32(bodyAt + 6, inode.gid, true)
  view.setUint32(bodyAt + 10, inode.nlink, true)
  setSafeInteger(view, bodyAt + 14, inode.size)
  view.setBigInt64(bodyAt + 22, inode.atimeNs, true)
  view.setBigInt64(bodyAt + 30, inode.mtimeNs, true)
  view.setBigInt64(bodyAt + 38, inode.ctimeNs, true)
  view.setBigInt64(bodyAt + 46, inode.btimeNs, true)
  setSafeInteger(view, bodyAt + 54, inode.version)
  view.setUint32(bodyAt + 62, inode.rdev, true)
  if (isExtended) {
    view.setUint32(bodyAt + inodeBytes, inode.flags, true)
    setSafeInteger(view, bodyAt + inodeBytes + 4, inode.holes)
  }
  const rest = bodyAt + fixedBytes
  if (type === typeRegular) view.setBigUint64(rest, inode.blob, true)
  else if (type === typeDirectory) {
    view.setBigUint64(rest, inode.parent, true)
    view.setUint32(rest + 8, inode.entries, true)
  } else if (type === typeSymlink) value.set(inode.target, rest)
  return seal(value)
}

/** @throws DamagedRecord */
export function decodeInode(value: Uint8Array): Inode {
  const isExtended = value[1] === extendedVersion
  const end = unseal(value, kindInode, isExtended ? extendedVersion : inodeVersion)
  const fixedBytes = isExtended ? inodeBytes + extensionBytes : inodeBytes
  if (end < bodyAt + fixedBytes) throw new DamagedRecord('body', 'an inode is cut short')
  const view = viewOf(value)
  const mode = view.getUint16(bodyAt, true)
  const type = mode >>> 12
  const rest = bodyAt + fixedBytes
  if (!types.has(type)) throw new DamagedRecord('body', `an inode of unknown type ${type}`)
  if (type === typeSymlink ? end <= rest || end > rest + targetBytesMax : end !== rest + variableBytes(type, 0)) {
    throw new DamagedRecord('body', 'an inode has a length that does not fit its type')
  }
  return {
    mode,
    uid: view.getUint32(bodyAt + 2, true),
    gid: view.getUint32(bodyAt + 6, true),
    nlink: view.getUint32(bodyAt + 10, true),
    size: getSafeInteger(view, bodyAt + 14),
    atimeNs: view.getBigInt64(bodyAt + 22, true),
    mtimeNs: view.getBigInt64(bodyAt + 30, true),
    ctimeNs: view.getBigInt64(bodyAt + 38, true),
    btimeNs: view.getBigInt64(bodyAt + 46, true),
    version: getSafeInteger(view, bodyAt + 54),
    rdev: view.getUint32(bodyAt + 62, true),
    flags: isExtended ? view.getUint32(bodyAt + inodeBytes, true) : 0,
    holes: isExtended ? getSafeInteger(view, bodyAt + inodeBytes + 4) : 0,
    blob: type === typeRegular ? view.getBigUint64(rest, true) : 0n,
    parent: type === typeDirectory ? view.getBigUint64(rest, true) : 0n,
    entries: type === typeDirectory ? view.getUint32(rest + 8, true) : 0,
    target: type === typeSymlink ? value.subarray(rest, end) : nothing,
  }
}

/** Of a symlink, as Linux: PATH_MAX without its NUL. */
export const targetBytesMax = 4095

/** File types, as `mode >>> 12` and as readdir's d_type. Source: include/linux/fs_types.h. */
export const typeFifo = 1
export const typeCharacter = 2
export const typeDirectory = 4
export const typeBlock = 6
export const typeRegular = 8
export const typeSymlink = 10
export const typeSocket = 12
const types: ReadonlySet<number> = new Set([1, 2, 4, 6, 8, 10, 12])

const variableBytes = (type: number, targetBytes: number): number =>
  type === typeRegular ? 8 : type === typeDirectory ? 12 : type === typeSymlink ? targetBytes : 0

/** One name of a directory. `slot` tells it from other names with the same hash, and stays while the name does. */
export interface Dentry {
  readonly slot: number
  readonly ino: bigint
  readonly type: number
  readonly name: Uint8Array
}

/** Names with one hash in one directory, at most: slots are 0 to 255. One more and it is ENOSPC, as in ext4. */
export const dentriesMax = 256

const kindDentries = 0x64
const dentriesVersion = 1
const dentryBytes = 11

/** `dentries`: at least one, by ascending slot. */
export function encodeDentries(dentries: readonly Dentry[]): Buffer {
  let length = 0
  for (const { name } of dentries) length += dentryBytes + name.length
  const value = frame(kindDentries, dentriesVersion, length)
  const view = viewOf(value)
  let at = bodyAt
  for (const { slot, ino, type, name } of dentries) {
    view.setUint8(at, slot)
    view.setUint8(at + 1, type)
    view.setBigUint64(at + 2, ino, true)
    view.setUint8(at + 10, name.length)
    value.set(name, at + dentryBytes)
    at += dentryBytes + name.length
  }
  return seal(value)
}

/** @throws DamagedRecord */
export function decodeDentries(value: Uint8Array): readonly Dentry[] {
  const end = unseal(value, kindDentries, dentriesVersion)
  const view = viewOf(value)
  const dentries: Dentry[] = []
  let at = bodyAt
  let free = 0
  while (at < end) {
    const nameAt = at + dentryBytes
    const nameEnd = nameAt < end ? nameAt + view.getUint8(at + 10) : end + 1
    if (nameEnd > end || nameEnd === nameAt) throw new DamagedRecord('body', 'a name of a directory is cut short')
    const slot = view.getUint8(at)
    const type = view.getUint8(at + 1)
    if (slot < free || !types.has(type))
      throw new DamagedRecord('body', 'a directory has a slot or type twice or unknown')
    dentries.push({ slot, ino: view.getBigUint64(at + 2, true), type, name: value.subarray(nameAt, nameEnd) })
    free = slot + 1
    at = nameEnd
  }
  if (dentries.length === 0) throw new DamagedRecord('body', 'a place in a directory without a name')
  return dentries
}

const kindContents = 0x63
const contentsVersion = 1

/** A frame for `size` bytes of contents, to be filled from `bodyAt` on and sealed. */
export const contentsFrame = (size: number): Buffer => frame(kindContents, contentsVersion, size)

/** Contents of a small file. @throws DamagedRecord */
export const decodeContents = (value: Uint8Array): Uint8Array =>
  value.subarray(bodyAt, unseal(value, kindContents, contentsVersion))

export interface Xattr {
  readonly name: Uint8Array
  readonly value: Uint8Array
}

const kindXattrs = 0x78
const xattrsVersion = 1
const xattrBytes = 5

/** Bytes that these attributes take in their record. */
export const xattrsLength = (xattrs: readonly Xattr[]): number =>
  xattrs.reduce((sum, { name, value }) => sum + xattrBytes + name.length + value.length, frameBytes)

/** Extended attributes, at least one, in the order they were first set. */
export function encodeXattrs(xattrs: readonly Xattr[]): Buffer {
  const record = frame(kindXattrs, xattrsVersion, xattrsLength(xattrs) - frameBytes)
  let at = bodyAt
  for (const { name, value } of xattrs) {
    record.writeUInt8(name.length, at)
    record.writeUInt32LE(value.length, at + 1)
    record.set(name, at + xattrBytes)
    record.set(value, at + xattrBytes + name.length)
    at += xattrBytes + name.length + value.length
  }
  return seal(record)
}

/** @throws DamagedRecord */
export function decodeXattrs(record: Uint8Array): readonly Xattr[] {
  const end = unseal(record, kindXattrs, xattrsVersion)
  const view = viewOf(record)
  const xattrs: Xattr[] = []
  let at = bodyAt
  while (at < end) {
    const nameAt = at + xattrBytes
    const valueAt = nameAt <= end ? nameAt + view.getUint8(at) : nameAt
    const next = nameAt <= end ? valueAt + view.getUint32(at + 1, true) : nameAt
    if (next > end || valueAt === nameAt) throw new DamagedRecord('body', 'an extended attribute is cut short')
    xattrs.push({ name: record.subarray(nameAt, valueAt), value: record.subarray(valueAt, next) })
    at = next
  }
  if (xattrs.length === 0) throw new DamagedRecord('body', 'a record of no extended attributes')
  return xattrs
}

const kindOrphan = 0x6f
const orphanVersion = 1

/** An inode without a name, and since when. */
export function encodeOrphan(sinceNs: bigint): Buffer {
  const value = frame(kindOrphan, orphanVersion, 8)
  value.writeBigInt64LE(sinceNs, bodyAt)
  return seal(value)
}

/** @throws DamagedRecord */
export function decodeOrphan(value: Uint8Array): { readonly sinceNs: bigint } {
  if (unseal(value, kindOrphan, orphanVersion) !== bodyAt + 8)
    throw new DamagedRecord('body', 'an orphan of odd length')
  return { sinceNs: viewOf(value).getBigInt64(bodyAt, true) }
}

/** The next number to give away, and how many of those given away are in use. */
export interface Counter {
  readonly next: bigint
  readonly used: number
}

const kindCounter = 0x6e
const counterVersion = 1

export function encodeCounter(counter: Counter): Buffer {
  const value = frame(kindCounter, counterVersion, 16)
  const view = viewOf(value)
  view.setBigUint64(bodyAt, counter.next, true)
  setSafeInteger(view, bodyAt + 8, counter.used)
  return seal(value)
}

/** @throws DamagedRecord */
export function decodeCounter(value: Uint8Array): Counter {
  if (unseal(value, kindCounter, counterVersion) !== bodyAt + 16)
    throw new DamagedRecord('body', 'a counter of odd length')
  const view = viewOf(value)
  return { next: view.getBigUint64(bodyAt, true), used: getSafeInteger(view, bodyAt + 8) }
}

const viewOf = (value: Uint8Array): DataView => new DataView(value.buffer, value.byteOffset, value.length)

function setSafeInteger(view: DataView, at: number, value: number): void {
  view.setUint32(at, value >>> 0, true)
  view.setUint32(at + 4, Math.floor(value / 0x1_0000_0000), true)
}

function getSafeInteger(view: DataView, at: number): number {
  const high = view.getUint32(at + 4, true)
  if (high > 0x1f_ffff) throw new DamagedRecord('body', 'a number beyond 2^53')
  return high * 0x1_0000_0000 + view.getUint32(at, true)
}
