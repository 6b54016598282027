import type { Attributes, Caller } from '../../proto/generated/file-service.ts'
import { fileTypes } from '../file-type.ts'

/** What is to be made. `bits`: its permissions, by the umask already. */
export type Making =
  | { readonly type: 'file'; readonly bits: number }
  | { readonly type: 'directory'; readonly bits: number }
  | { readonly type: 'symlink'; readonly target: Uint8Array }

/** Set-user-ID and set-group-ID: what becomes of them is the servers' to say. */
export const privilegeBits = 0o6000
const setGid = 0o2000
const ownerMakes = 0o300 // S_IWUSR | S_IXUSR
const blockBytes = 4096
/** As the servers say it of every directory. */
const directoryBytes = 4096n

/** May he make things in the directory, and take them away, as is plain from its owner and mode alone? Otherwise the servers say. */
export function mayMake(directory: Attributes, { uid }: Caller): boolean {
  return uid === 0 || (uid === directory.uid && (directory.mode & ownerMakes) === ownerMakes)
}

/** Is he root, or the owner? */
export const owns = ({ uid }: Attributes, caller: Caller): boolean => caller.uid === 0 || caller.uid === uid

/**
 * What the servers make of it, in a directory without ACLs and flags. Source: fs/inode.c, inode_init_owner;
 * server/filesystem/new-inode.ts.
 */
export function newInode(
  directory: Attributes,
  caller: Caller,
  making: Making,
  at: { readonly ino: bigint; readonly nowNs: bigint },
): Attributes {
  const { ino, nowNs } = at
  const inherits = (directory.mode & setGid) !== 0
  const bits = making.type === 'symlink' ? 0o777 : making.bits
  const handedOn = inherits && making.type === 'directory' ? setGid : 0
  return {
    ino,
    mode: fileTypes[making.type] | bits | handedOn,
    nlink: making.type === 'directory' ? 2 : 1,
    uid: caller.uid,
    gid: inherits ? directory.gid : caller.gid,
    rdev: 0n,
    size: making.type === 'directory' ? directoryBytes : making.type === 'symlink' ? BigInt(making.target.length) : 0n,
    blocks: making.type === 'directory' ? directoryBytes / 512n : 0n,
    atimeNs: nowNs,
    mtimeNs: nowNs,
    ctimeNs: nowNs,
    btimeNs: nowNs,
    flags: undefined,
  }
}

/** The directory with one more name in it. */
export const withName = (directory: Attributes, type: Making['type'], nowNs: bigint): Attributes => ({
  ...directory,
  nlink: directory.nlink + (type === 'directory' ? 1 : 0),
  mtimeNs: nowNs,
  ctimeNs: nowNs,
})

/** The directory with one name less. */
export const withoutName = (directory: Attributes, type: Making['type'], nowNs: bigint): Attributes => ({
  ...directory,
  nlink: directory.nlink - (type === 'directory' ? 1 : 0),
  mtimeNs: nowNs,
  ctimeNs: nowNs,
})

/** The file after a write that begins within it, or where it ends: so it has no holes. */
export function withData(file: Attributes, end: bigint, nowNs: bigint): Attributes {
  const size = end > file.size ? end : file.size
  const blocks = ((size + BigInt(blockBytes - 1)) / BigInt(blockBytes)) * BigInt(blockBytes / 512)
  return { ...file, size, blocks, mtimeNs: nowNs, ctimeNs: nowNs }
}
