import type { Frame } from './frame.ts'

/** What a decoder throws when a request is not what the protocol allows; caught in request.ts, seen by nobody else. */
export class MalformedError extends Error {}

/**
 * Reads a request from its front to its end. Each method takes what it returns; past the end it throws MalformedError,
 * whatever the bytes. Integers are little endian, as on every machine this runs on.
 */
export class Body {
  readonly #frame: Frame
  readonly #end: number
  #at: number

  constructor(frame: Frame, at: number, end: number) {
    this.#frame = frame
    this.#at = at
    this.#end = end
  }

  get left(): number {
    return this.#end - this.#at
  }

  u16(): number {
    return this.#frame.view.getUint16(this.#take(2), true)
  }

  u32(): number {
    return this.#frame.view.getUint32(this.#take(4), true)
  }

  u64(): bigint {
    return this.#frame.view.getBigUint64(this.#take(8), true)
  }

  i64(): bigint {
    return this.#frame.view.getBigInt64(this.#take(8), true)
  }

  skip(count: number): void {
    this.#take(count)
  }

  /** The next `count` bytes, in the frame: they change when the frame is used for the next request. */
  bytes(count: number): Buffer {
    const at = this.#take(count)
    return this.#frame.bytes.subarray(at, at + count)
  }

  /** The next `count` bytes, to be read by themselves. */
  part(count: number): Body {
    const at = this.#take(count)
    return new Body(this.#frame, at, at + count)
  }

  /** The name of a directory entry or extended attribute, without its NUL; a copy. Its length is the server's matter. */
  name(): Buffer {
    const text = this.text()
    if (text.includes(0x2f)) throw new MalformedError('a name holds a slash')
    return text
  }

  /** Bytes up to a NUL, at least one; a copy. */
  text(): Buffer {
    const { bytes } = this.#frame
    const start = this.#at
    let at = start
    while (at < this.#end && bytes[at] !== 0) at++
    if (at === this.#end) throw new MalformedError('a text without its NUL')
    if (at === start) throw new MalformedError('an empty text')
    this.#at = at + 1
    return Buffer.from(bytes.subarray(start, at))
  }

  #take(count: number): number {
    const at = this.#at
    if (count > this.#end - at) throw new MalformedError(`${count} bytes wanted, ${this.#end - at} left`)
    this.#at = at + count
    return at
  }
}
