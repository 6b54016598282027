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

/** For how long the kernel may use what it is told without asking again, ms. */
export interface Validity {
  readonly nameMs: number
  readonly attributesMs: number
}

export const notValid: Validity = { nameMs: 0, attributesMs: 0 }

/** Seconds as u64 at `seconds`, the rest as nanoseconds, u32, at `ns`. */
export function putDuration(view: DataView, ms: number, at: { seconds: number; ns: number }): void {
  view.setBigUint64(at.seconds, BigInt(Math.floor(ms / 1000)), true)
  view.setUint32(at.ns, (ms % 1000) * 1_000_000, true)
}

/** The head of fuse_entry_out. Inode numbers are never used again, so the generation is always 0. */
function putEntryHead(view: DataView, at: number, ino: bigint, { nameMs, attributesMs }: Validity): void {
  view.setBigUint64(at, ino, true)
  view.setBigUint64(at + 8, 0n, true)
  putDuration(view, nameMs, { seconds: at + 16, ns: at + 32 })
  putDuration(view, attributesMs, { seconds: at + 24, ns: at + 36 })
}

/** fuse_entry_out at `at` of `view`. */
export function putEntry(view: DataView, at: number, attributes: Attributes, valid: Validity): void {
  putEntryHead(view, at, attributes.ino, valid)
  putAttributes(view, at + 40, attributes)
}

/** fuse_entry_out of a name that is not there, which the kernel may remember. */
export function putAbsence(view: DataView, at: number, nameMs: number): void {
  putEntryHead(view, at, 0n, { nameMs, attributesMs: 0 })
}
