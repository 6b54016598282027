import type { Attributes } from '../../proto/generated/file-service.ts'

/** fuse_attr. */
export const attributesSize = 88

const nsPerSecond = 1_000_000_000n
/** st_blksize: what stdio, cmp and the like read and write at once. Files are open for direct I/O, so each is a request. */
export const blockSize = 64 * 1024

/** Writes time `ns` as seconds at `secondsAt` and the rest, never negative, at `nsAt`. */
export function putSeconds(view: DataView, ns: bigint, at: { seconds: number; ns: number }): void {
  let seconds = ns / nsPerSecond
  let rest = ns - seconds * nsPerSecond
  if (rest < 0n) {
    seconds -= 1n
    rest += nsPerSecond
  }
  view.setBigInt64(at.seconds, seconds, true)
  view.setUint32(at.ns, Number(rest), true)
}

/** fuse_attr at `at` of `view`. */
export function putAttributes(view: DataView, at: number, attributes: Attributes): void {
  view.setBigUint64(at, attributes.ino, true)
  view.setBigUint64(at + 8, attributes.size, true)
  view.setBigUint64(at + 16, attributes.blocks, true)
  putSeconds(view, attributes.atimeNs, { seconds: at + 24, ns: at + 48 })
  putSeconds(view, attributes.mtimeNs, { seconds: at + 32, ns: at + 52 })
  putSeconds(view, attributes.ctimeNs, { seconds: at + 40, ns: at + 56 })
  view.setUint32(at + 60, attributes.mode, true)
  view.setUint32(at + 64, attributes.nlink, true)
  view.setUint32(at + 68, attributes.uid, true)
  view.setUint32(at + 72, attributes.gid, true)
  view.setUint32(at + 76, Number(BigInt.asUintN(32, attributes.rdev)), true)
  view.setUint32(at + 80, blockSize, true)
  view.setUint32(at + 84, 0, true)
}

/** fuse_entry_out. */
export const entrySize = 128

/**
 * fuse_entry_out at `at` of `view`. The kernel may keep neither name nor attributes: its times are zero. Inode numbers
 * are never used again, so the generation is always 0.
 */
export function putEntry(view: DataView, at: number, attributes: Attributes): void {
  view.setBigUint64(at, attributes.ino, true)
  for (let offset = 8; offset < 40; offset += 8) view.setBigUint64(at + offset, 0n, true)
  putAttributes(view, at + 40, attributes)
}
