/**
 * A mount has inodes of several volumes, each of which counts its own from 1. In a mount, the number of the volume stands
 * in the upper bits: that of the root of the tree is 0, so its inodes have the same numbers everywhere. Below it are 56
 * bits: those that a volume gives away in 2^20 epochs (server/session/numbers.ts).
 */
const bits = 56n
const rest = (1n << bits) - 1n

/** All numbers are positive, also to who takes them for signed. */
export const volumeNumberMax = 127

/** The top of each volume, by its own count. */
export const rootIno = 1n

export const volumeOf = (ino: bigint): number => Number(ino >> bits)

/** 0 is no inode, and stays so. @throws RangeError when it does not fit: a volume that has seen 2^20 epochs */
export function inodeInTree(volume: number, ino: bigint): bigint {
  if (ino > rest) throw new RangeError(`inode ${ino} does not fit into a tree of several volumes`)
  return ino === 0n ? 0n : (BigInt(volume) << bits) | ino
}

export const inodeInVolume = (ino: bigint): bigint => ino & rest
