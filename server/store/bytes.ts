import type { Key } from '../../proto/ids.ts'

/** Appends to a buffer that grows. Numbers are big-endian; `varint` has 7 bits a byte, lowest first. */
export class ByteWriter {
  #buffer: Buffer
  #length = 0

  constructor(expectedBytes = 256) {
    this.#buffer = Buffer.allocUnsafe(expectedBytes)
  }

  get length(): number {
    return this.#length
  }

  u8(value: number): void {
    this.#reserve(1)
    this.#buffer[this.#length++] = value
  }

  u32(value: number): void {
    this.#reserve(4)
    this.#length = this.#buffer.writeUInt32BE(value >>> 0, this.#length)
  }

  u48(value: number): void {
    this.#reserve(6)
    this.#length = this.#buffer.writeUIntBE(value, this.#length, 6)
  }

  u64(value: bigint): void {
    this.#reserve(8)
    this.#length = this.#buffer.writeBigUInt64BE(value, this.#length)
  }

  /** A safe integer that is not negative. */
  varint(value: number): void {
    this.#reserve(8)
    let rest = value
    while (rest > 0x7f) {
      this.#buffer[this.#length++] = (rest % 0x80) | 0x80
      rest = Math.floor(rest / 0x80)
    }
    this.#buffer[this.#length++] = rest
  }

  /** With its length before it. */
  key(key: Key): void {
    this.varint(key.length)
    this.#reserve(key.length)
    this.#length += this.#buffer.write(key, this.#length, 'latin1')
  }

  /** With its length before it. */
  block(bytes: Uint8Array): void {
    this.varint(bytes.length)
    this.bytes(bytes)
  }

  bytes(bytes: Uint8Array): void {
    this.#reserve(bytes.length)
    this.#buffer.set(bytes, this.#length)
    this.#length += bytes.length
  }

  setU32(at: number, value: number): void {
    this.#buffer.writeUInt32BE(value >>> 0, at)
  }

  /** What was written. The writer must not be used any more. */
  take(): Buffer {
    return this.#buffer.subarray(0, this.#length)
  }

  #reserve(bytes: number): void {
    if (this.#length + bytes <= this.#buffer.length) return
    const grown = Buffer.allocUnsafe(Math.max(this.#buffer.length * 2, this.#length + bytes))
    this.#buffer.copy(grown, 0, 0, this.#length)
    this.#buffer = grown
  }
}

/**
 * Reads what `ByteWriter` wrote. Total: past the end, or on a number that is none, it answers zeros and empty values
 * and is `broken` from then on; whoever reads asks for that once, at the end.
 */
export class ByteReader {
  readonly #buffer: Buffer
  #at: number
  #broken = false

  constructor(bytes: Uint8Array, at = 0) {
    this.#buffer = Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
    this.#at = at
  }

  get at(): number {
    return this.#at
  }

  get left(): number {
    return this.#buffer.length - this.#at
  }

  get broken(): boolean {
    return this.#broken
  }

  /** Says that what was read makes no sense. */
  breakOff(): void {
    this.#broken = true
    this.#at = this.#buffer.length
  }

  u8(): number {
    return this.#has(1) ? (this.#buffer[this.#at++] ?? 0) : 0
  }

  u32(): number {
    if (!this.#has(4)) return 0
    this.#at += 4
    return this.#buffer.readUInt32BE(this.#at - 4)
  }

  u48(): number {
    if (!this.#has(6)) return 0
    this.#at += 6
    return this.#buffer.readUIntBE(this.#at - 6, 6)
  }

  u64(): bigint {
    if (!this.#has(8)) return 0n
    this.#at += 8
    return this.#buffer.readBigUInt64BE(this.#at - 8)
  }

  varint(): number {
    let value = 0
    let unit = 1
    for (let count = 0; count < 8; count++) {
      const byte = this.u8()
      value += (byte & 0x7f) * unit
      if (byte < 0x80) {
        if (!Number.isSafeInteger(value)) this.breakOff()
        return this.#broken ? 0 : value
      }
      unit *= 0x80
    }
    this.breakOff()
    return 0
  }

  key(): Key {
    const length = this.varint()
    if (!this.#has(length)) return '' as Key
    this.#at += length
    return this.#buffer.toString('latin1', this.#at - length, this.#at) as Key
  }

  /** Not a copy. */
  block(): Buffer {
    return this.bytes(this.varint())
  }

  /** Not a copy. */
  bytes(length: number): Buffer {
    if (!this.#has(length)) return this.#buffer.subarray(0, 0)
    this.#at += length
    return this.#buffer.subarray(this.#at - length, this.#at)
  }

  #has(bytes: number): boolean {
    if (this.#at + bytes <= this.#buffer.length) return true
    this.breakOff()
    return false
  }
}
