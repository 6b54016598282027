import type { Body } from './body.ts'
import { MalformedError } from './body.ts'

/** fuse_setattr_in.valid. Source: FATTR_* in include/uapi/linux/fuse.h. */
export const setattrBits = {
  mode: 1 << 0,
  uid: 1 << 1,
  gid: 1 << 2,
  size: 1 << 3,
  atime: 1 << 4,
  mtime: 1 << 5,
  fh: 1 << 6,
  atimeNow: 1 << 7,
  mtimeNow: 1 << 8,
  killPrivileges: 1 << 11,
} as const

/** What SETATTR changes; undefined: left as it is. Times are nanoseconds since 1970, or the server's clock. */
export interface SetattrArgs {
  readonly fh: bigint | undefined
  readonly mode: number | undefined
  readonly uid: number | undefined
  readonly gid: number | undefined
  readonly size: bigint | undefined
  readonly atime: bigint | 'now' | undefined
  readonly mtime: bigint | 'now' | undefined
  readonly killPrivileges: boolean
}

const nsMax = (1n << 63n) - 1n
const nsMin = -(1n << 63n)

/** Seconds that do not fit nanoseconds in 64 bits become the nearest time that does, as other file systems clamp. */
function nanoseconds(seconds: bigint, ns: number): bigint {
  if (ns > 999_999_999) throw new MalformedError(`${ns} nanoseconds in a second`)
  const time = seconds * 1_000_000_000n + BigInt(ns)
  return time > nsMax ? nsMax : time < nsMin ? nsMin : time
}

function changedTime(valid: number, bits: { set: number; now: number }, seconds: bigint, ns: number) {
  if ((valid & bits.now) !== 0) return 'now' // ATIME_NOW comes together with ATIME
  return (valid & bits.set) === 0 ? undefined : nanoseconds(seconds, ns)
}

/** fuse_setattr_in, 88 bytes. ctime is the server's: the bit for it belongs to write-back caches. */
export function decodeSetattr(b: Body): SetattrArgs {
  const valid = b.u32()
  b.skip(4)
  const fh = b.u64()
  const size = b.u64()
  b.skip(8) // lock_owner
  const [atimeS, mtimeS] = [b.i64(), b.i64()]
  b.skip(8)
  const [atimeNs, mtimeNs] = [b.u32(), b.u32()]
  b.skip(4)
  const mode = b.u32()
  b.skip(4)
  const [uid, gid] = [b.u32(), b.u32()]
  b.skip(4)
  const bits = setattrBits
  return {
    fh: (valid & bits.fh) === 0 ? undefined : fh,
    mode: (valid & bits.mode) === 0 ? undefined : mode,
    uid: (valid & bits.uid) === 0 ? undefined : uid,
    gid: (valid & bits.gid) === 0 ? undefined : gid,
    size: (valid & bits.size) === 0 ? undefined : size,
    atime: changedTime(valid, { set: bits.atime, now: bits.atimeNow }, atimeS, atimeNs),
    mtime: changedTime(valid, { set: bits.mtime, now: bits.mtimeNow }, mtimeS, mtimeNs),
    killPrivileges: (valid & bits.killPrivileges) !== 0,
  }
}
