import type { Attributes } from '../../proto/generated/file-service.ts'
import { blockSize, putDuration, putSeconds } from './attributes.ts'

/** fuse_statx_out: how long the answer is valid, then struct fuse_statx. Source: fuse_kernel.h, protocol 7.45. */
export const statxSize = 32 + 256

/** STATX_BASIC_STATS and STATX_BTIME. */
const mask = 0x7ff | 0x800

/** fuse_statx_out at `at` of `view`, which is all zeros; valid for `validMs`. */
export function putStatx(view: DataView, at: number, attributes: Attributes, validMs: number): void {
  putDuration(view, validMs, { seconds: at, ns: at + 8 })
  const stat = at + 32
  view.setUint32(stat, mask, true)
  view.setUint32(stat + 4, blockSize, true)
  view.setUint32(stat + 16, attributes.nlink, true)
  view.setUint32(stat + 20, attributes.uid, true)
  view.setUint32(stat + 24, attributes.gid, true)
  view.setUint16(stat + 28, attributes.mode, true)
  view.setBigUint64(stat + 32, attributes.ino, true)
  view.setBigUint64(stat + 40, attributes.size, true)
  view.setBigUint64(stat + 48, attributes.blocks, true)
  const times = [attributes.atimeNs, attributes.btimeNs, attributes.ctimeNs, attributes.mtimeNs]
  for (const [index, ns] of times.entries()) {
    putSeconds(view, ns, { seconds: stat + 64 + index * 16, ns: stat + 72 + index * 16 })
  }
  // The kernel's 32 bits of a device: 12 of the major above the minor's lowest 8.
  const rdev = Number(BigInt.asUintN(32, attributes.rdev))
  view.setUint32(stat + 128, (rdev >>> 8) & 0xfff, true)
  view.setUint32(stat + 132, (rdev & 0xff) | ((rdev >>> 12) & 0xfff00), true)
}
