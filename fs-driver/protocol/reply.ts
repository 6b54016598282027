import type { Attributes, HeldLock, Space } from '../../proto/generated/file-service.ts'
import type { Validity } from './attributes.ts'
import { attributesSize, entrySize, notValid, putAbsence, putAttributes, putDuration, putEntry } from './attributes.ts'
import type { Negotiated } from './negotiate.ts'
import { congestionThreshold, maxBackground, pageSize, protocolMajor, protocolMinor, transferMax } from './negotiate.ts'
import { putStatx, statxSize } from './statx.ts'

/** fuse_out_header. */
export const outHeaderSize = 16

/** FOPEN_*: how the kernel is to treat one open file. */
export const openFlags = {
  DIRECT_IO: 1 << 0,
  KEEP_CACHE: 1 << 1,
  CACHE_DIR: 1 << 3,
  PARALLEL_DIRECT_WRITES: 1 << 6,
} as const

export type ReplyBody =
  /** A Linux errno. */
  | { readonly kind: 'error'; readonly errno: number }
  | { readonly kind: 'done' }
  /** `valid`, here and below: standard is no time at all. */
  | { readonly kind: 'entry'; readonly attributes: Attributes; readonly valid?: Validity }
  /** Of a name that was looked up. As an error (ENOENT) it would not be remembered. */
  | { readonly kind: 'absent'; readonly nameMs: number }
  | { readonly kind: 'attributes'; readonly attributes: Attributes; readonly validMs?: number }
  | { readonly kind: 'opened'; readonly fh: bigint; readonly flags: number }
  | {
      readonly kind: 'created'
      readonly attributes: Attributes
      readonly valid?: Validity
      readonly fh: bigint
      readonly flags: number
    }
  | { readonly kind: 'written'; readonly length: number }
  | { readonly kind: 'data'; readonly data: Uint8Array }
  /** Packed by packListing. `endsAt`: with it the directory has been listed to its end, which has this offset. */
  | { readonly kind: 'listing'; readonly data: Uint8Array; readonly endsAt: bigint | undefined }
  /** Of GETLK: what stands in the way of the lock asked about. */
  | { readonly kind: 'lock'; readonly lock: HeldLock }
  /** Length of an extended attribute, or of all their names. */
  | { readonly kind: 'length'; readonly length: number }
  /** A place in a file, or how many bytes were copied, of 64 bits. */
  | { readonly kind: 'place'; readonly offset: bigint }
  | { readonly kind: 'statx'; readonly attributes: Attributes; readonly validMs?: number }
  /** The ioctl was done, and says `data` to the program. */
  | { readonly kind: 'ioctl'; readonly data: Uint8Array }
  | { readonly kind: 'space'; readonly space: Space }
  | { readonly kind: 'negotiated'; readonly negotiated: Negotiated }
  /** INIT of a greater major version: say ours, and be asked again. */
  | { readonly kind: 'version' }

function message(unique: bigint, bodySize: number): { bytes: Buffer; view: DataView } {
  const bytes = Buffer.allocUnsafe(outHeaderSize + bodySize)
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  view.setUint32(0, outHeaderSize + bodySize, true)
  view.setInt32(4, 0, true)
  view.setBigUint64(8, unique, true)
  return { bytes, view }
}

function encodeError(unique: bigint, errno: number): Buffer {
  const { bytes, view } = message(unique, 0)
  view.setInt32(4, -errno, true)
  return bytes
}

/** fuse_attr_out. */
function encodeAttributes(unique: bigint, attributes: Attributes, validMs: number): Buffer {
  const { bytes, view } = message(unique, 16 + attributesSize)
  putDuration(view, validMs, { seconds: 16, ns: 24 })
  view.setUint32(28, 0, true)
  putAttributes(view, 32, attributes)
  return bytes
}

/** fuse_entry_out, and fuse_open_out behind it when the entry was opened as well. */
function encodeEntry(
  unique: bigint,
  { attributes, valid = notValid }: { attributes: Attributes; valid?: Validity },
  opened?: { fh: bigint; flags: number },
): Buffer {
  const { bytes, view } = message(unique, entrySize + (opened === undefined ? 0 : 16))
  putEntry(view, outHeaderSize, attributes, valid)
  if (opened !== undefined) putOpened(view, outHeaderSize + entrySize, opened)
  return bytes
}

function encodeAbsence(unique: bigint, nameMs: number): Buffer {
  const { bytes, view } = message(unique, entrySize)
  bytes.fill(0, outHeaderSize)
  putAbsence(view, outHeaderSize, nameMs)
  return bytes
}

/** fuse_open_out at `at`. */
function putOpened(view: DataView, at: number, opened: { fh: bigint; flags: number }): void {
  view.setBigUint64(at, opened.fh, true)
  view.setUint32(at + 8, opened.flags, true)
  view.setUint32(at + 12, 0, true)
}

/** fuse_write_out and fuse_getxattr_out: a number and padding. */
function encodeNumber(unique: bigint, value: number): Buffer {
  const { bytes, view } = message(unique, 8)
  view.setUint32(16, value, true)
  view.setUint32(20, 0, true)
  return bytes
}

/** fuse_lseek_out and fuse_copy_file_range_out. */
function encodePlace(unique: bigint, offset: bigint): Buffer {
  const { bytes, view } = message(unique, 8)
  view.setBigUint64(16, offset, true)
  return bytes
}

function encodeStatx(unique: bigint, attributes: Attributes, validMs: number): Buffer {
  const { bytes, view } = message(unique, statxSize)
  bytes.fill(0, outHeaderSize)
  putStatx(view, outHeaderSize, attributes, validMs)
  return bytes
}

/** fuse_ioctl_out, 16 bytes: result 0, no flags, nothing to be fetched for another try; then the data. */
function encodeIoctl(unique: bigint, data: Uint8Array): Buffer {
  const { bytes } = message(unique, 16 + data.length)
  bytes.fill(0, outHeaderSize)
  bytes.set(data, outHeaderSize + 16)
  return bytes
}

const [readLock, writeLock, noLock] = [0, 1, 2] // F_RDLCK, F_WRLCK, F_UNLCK

/** fuse_lk_out, 24 bytes. */
function encodeLock(unique: bigint, { held, exclusive, start, end, pid }: HeldLock): Buffer {
  const { bytes, view } = message(unique, 24)
  view.setBigUint64(16, start, true)
  view.setBigUint64(24, end, true)
  view.setUint32(32, held ? (exclusive ? writeLock : readLock) : noLock, true)
  view.setUint32(36, pid, true)
  return bytes
}

/** fuse_statfs_out, 80 bytes. */
function encodeSpace(unique: bigint, space: Space): Buffer {
  const { bytes, view } = message(unique, 80)
  bytes.fill(0, outHeaderSize)
  view.setBigUint64(16, space.blocks, true)
  view.setBigUint64(24, space.free, true)
  view.setBigUint64(32, space.available, true)
  view.setBigUint64(40, space.files, true)
  view.setBigUint64(48, space.filesFree, true)
  view.setUint32(56, Number(space.blockSize), true)
  view.setUint32(60, space.nameMax, true)
  view.setUint32(64, Number(space.blockSize), true)
  return bytes
}

/** fuse_init_out, 64 bytes. */
function encodeInit(unique: bigint, negotiated: Negotiated | undefined): Buffer {
  const { bytes, view } = message(unique, 64)
  bytes.fill(0, outHeaderSize)
  view.setUint32(16, protocolMajor, true)
  view.setUint32(20, protocolMinor, true)
  if (negotiated === undefined) return bytes
  view.setUint32(24, negotiated.maxReadahead, true)
  view.setUint32(28, Number(BigInt.asUintN(32, negotiated.flags)), true)
  view.setUint16(32, maxBackground, true)
  view.setUint16(34, congestionThreshold, true)
  view.setUint32(36, transferMax, true)
  view.setUint32(40, 1, true) // time_gran: nanoseconds
  view.setUint16(44, transferMax / pageSize, true)
  view.setUint32(48, Number(negotiated.flags >> 32n), true)
  return bytes
}

/** The answer to request `unique`, as the parts of one write. */
export function encodeReply(unique: bigint, body: ReplyBody): readonly Uint8Array[] {
  switch (body.kind) {
    case 'error':
      return [encodeError(unique, body.errno)]
    case 'done':
      return [message(unique, 0).bytes]
    case 'entry':
      return [encodeEntry(unique, body)]
    case 'absent':
      return [encodeAbsence(unique, body.nameMs)]
    case 'attributes':
      return [encodeAttributes(unique, body.attributes, body.validMs ?? 0)]
    case 'opened': {
      const { bytes, view } = message(unique, 16)
      putOpened(view, outHeaderSize, body)
      return [bytes]
    }
    case 'created':
      return [encodeEntry(unique, body, body)]
    case 'written':
    case 'length':
      return [encodeNumber(unique, body.length)]
    case 'data':
    case 'listing': {
      const { bytes, view } = message(unique, 0)
      view.setUint32(0, outHeaderSize + body.data.length, true)
      return body.data.length === 0 ? [bytes] : [bytes, body.data]
    }
    case 'place':
      return [encodePlace(unique, body.offset)]
    case 'statx':
      return [encodeStatx(unique, body.attributes, body.validMs ?? 0)]
    case 'ioctl':
      return [encodeIoctl(unique, body.data)]
    case 'lock':
      return [encodeLock(unique, body.lock)]
    case 'space':
      return [encodeSpace(unique, body.space)]
    case 'negotiated':
      return [encodeInit(unique, body.negotiated)]
    case 'version':
      return [encodeInit(unique, undefined)]
  }
}
