import { crc32 as longCrc32 } from 'node:zlib'

/**
 * The frame round every value of the replicated state: a byte for its kind, a byte for the version of its encoding, the
 * body, and a CRC-32 (little-endian) of all before it, so that a damaged value is known as such on its own (S15).
 */
const headBytes = 2
const checkBytes = 4

/** Bytes of a frame around its body. */
export const frameBytes = headBytes + checkBytes
/** Where the body begins. */
export const bodyAt = headBytes

/** A value of the store that is not what it should be. It reaches a caller as EIO. */
export class DamagedRecord extends Error {
  readonly reason: 'short' | 'checksum' | 'kind' | 'version' | 'body'

  constructor(reason: DamagedRecord['reason'], sentence: string) {
    super(sentence)
    this.name = 'DamagedRecord'
    this.reason = reason
  }
}

/** A frame for a body of `bytes`, which is written at `bodyAt`; then `seal` closes it. */
export function frame(kind: number, version: number, bytes: number): Buffer {
  const value = Buffer.allocUnsafe(frameBytes + bytes)
  value[0] = kind
  value[1] = version
  return value
}

export function seal(value: Buffer): Buffer {
  const end = value.length - checkBytes
  value.writeUInt32LE(checksum(value, end), end)
  return value
}

/** Does the value match its own checksum? For any bytes. */
export function intact(value: Uint8Array): boolean {
  const end = value.length - checkBytes
  return end >= headBytes && storedChecksum(value, end) === checksum(value, end)
}

/** The checksum that a value has in it, and the one that its bytes make. For any bytes. */
export const storedSum = (value: Uint8Array): number => storedChecksum(value, value.length - checkBytes)
export const madeSum = (value: Uint8Array): number => checksum(value, value.length - checkBytes)

/**
 * Where the body ends; it begins at `bodyAt`.
 *
 * @throws DamagedRecord for anything that `seal` did not make with this kind and version
 */
export function unseal(value: Uint8Array, kind: number, version: number): number {
  const end = value.length - checkBytes
  if (end < headBytes) throw new DamagedRecord('short', `a value of ${value.length} bytes is too short`)
  if (storedChecksum(value, end) !== checksum(value, end)) {
    throw new DamagedRecord('checksum', 'a value does not match its checksum')
  }
  if (value[0] !== kind) throw new DamagedRecord('kind', `a value of kind ${value[0]} where ${kind} belongs`)
  if (value[1] !== version) throw new DamagedRecord('version', `encoding version ${value[1]}; known is ${version}`)
  return end
}

const at = (value: Uint8Array, index: number): number => value[index] ?? 0

const storedChecksum = (value: Uint8Array, end: number): number =>
  (at(value, end) | (at(value, end + 1) << 8) | (at(value, end + 2) << 16) | (at(value, end + 3) << 24)) >>> 0

/** Measured: up to a few hundred bytes a loop costs less than the slice and call that zlib needs. */
function checksum(value: Uint8Array, end: number): number {
  if (end > 256) return longCrc32(value.subarray(0, end))
  let crc = -1
  for (let index = 0; index < end; index++) crc = (table[(crc ^ at(value, index)) & 255] ?? 0) ^ (crc >>> 8)
  return ~crc >>> 0
}

const tableEntry = (index: number): number => {
  let crc = index
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1
  return crc
}
const table = Int32Array.from({ length: 256 }, (_, index) => tableEntry(index))
