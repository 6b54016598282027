import type { Body } from './body.ts'

/** fuse_ioctl_in, 32 bytes, and what the program gave. */
export const decodeIoctl = (b: Body) => {
  const fh = b.u64()
  b.skip(4) // flags: ours are never unrestricted
  const command = b.u32()
  b.skip(8) // arg: a pointer of the program
  const [inSize, outSize] = [b.u32(), b.u32()]
  return { fh, command, outSize, data: Buffer.from(b.bytes(inSize)) }
}

/**
 * The ioctls that the kernel itself makes for FS_IOC_GETFLAGS and the like: flags are 32 bits here, whatever `long` is.
 * Source: include/uapi/linux/fs.h; fs/fuse/ioctl.c, fuse_fileattr_get.
 */
export const ioctls = {
  getFlags: 0x80086601,
  setFlags: 0x40086602,
  getAttributes: 0x801c581f,
  setAttributes: 0x401c5820,
} as const

/** struct fsxattr. */
export const fsxattrSize = 28

/** FS_*_FL beside the FS_XFLAG_* that means the same. */
const xflags: readonly (readonly [flag: number, xflag: number])[] = [
  [0x08, 0x20], // sync
  [0x10, 0x08], // immutable
  [0x20, 0x10], // append
  [0x40, 0x80], // no dump
  [0x80, 0x40], // no atime
]

export function encodeFsxattr(flags: number): Buffer {
  const bytes = Buffer.alloc(fsxattrSize)
  bytes.writeUInt32LE(xflags.reduce((sum, [flag, xflag]) => sum | (flags & flag ? xflag : 0), 0))
  return bytes
}

/** The flags; undefined: something that has no flag, as an extent size or a project. */
export function decodeFsxattr(bytes: Uint8Array): number | undefined {
  if (bytes.length !== fsxattrSize) return undefined
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  const given = view.getUint32(0, true)
  const known = xflags.reduce((sum, [, xflag]) => sum | xflag, 0)
  const isMore = [4, 12, 16].some((at) => view.getUint32(at, true) !== 0) // extent size, project, size when copied
  if (isMore || (given & ~known) !== 0) return undefined
  return xflags.reduce((sum, [flag, xflag]) => sum | (given & xflag ? flag : 0), 0)
}
