import { type Epoch, epoch, type Key, type Seq, seq } from '../../proto/ids.ts'

/** What came over a stream is not what a peer of ours would send. It costs the sender that stream, and nobody anything else. */
export class BadFrame extends Error {
  constructor(sentence: string) {
    super(sentence)
    this.name = 'BadFrame'
  }
}

/** @throws BadFrame beyond 2^53 */
export function safe(value: bigint): number {
  if (value > maxSafe) throw new BadFrame(`a number beyond 2^53: ${value}`)
  return Number(value)
}

const maxSafe = BigInt(Number.MAX_SAFE_INTEGER)

export const seqFrom = (value: bigint): Seq => seq(safe(value))
export const epochFrom = (value: bigint): Epoch => epoch(safe(value))

/** A clock's reading or a length of time, in ms. @throws BadFrame */
export function msFrom(value: number): number {
  if (!Number.isFinite(value)) throw new BadFrame(`a time that is no number: ${value}`)
  return value
}

/** @throws BadFrame when it is not there */
export function present<T>(value: T | undefined, what: string): T {
  if (value === undefined) throw new BadFrame(`${what} is missing`)
  return value
}

/** Keys travel as the bytes that they stand for. */
export const keyBytes = (key: Key): Buffer => Buffer.from(key, 'latin1')
export const keyFrom = (bytes: Buffer): Key => bytes.toString('latin1') as Key

/** The same memory as a Buffer: nothing is copied. */
export const bufferOf = (bytes: Uint8Array): Buffer =>
  Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)

/** The large bytes of a frame, taken one after the other by the messages that need them. */
export class Bodies {
  readonly #bodies: readonly Uint8Array[]
  #taken = 0

  constructor(bodies: readonly Uint8Array[]) {
    this.#bodies = bodies
  }

  /** @throws BadFrame when there are not as many as are needed */
  next(): Uint8Array {
    return present(this.#bodies[this.#taken++], 'a body')
  }
}
