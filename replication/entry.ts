import type { Epoch, Seq } from '../proto/ids.ts'

/** Where an entry stands in the one order of a volume (R1). An entry keeps the label it was born with. */
export interface Position {
  readonly epoch: Epoch
  readonly seq: Seq
}

/** A position and the digest of all history up to it. Two members with equal marks have equal histories (R39). */
export interface Mark extends Position {
  readonly chain: number
}

/** One committed-or-not step of a volume's state. `body` holds encoded physical effects and is opaque here (R8). */
export interface Entry extends Mark {
  /** Empty for the entry that opens an epoch (R6). Owned by the entry: nobody writes into it. */
  readonly body: Uint8Array
}

/** The first sequence written under an epoch. A history is a list of these, oldest first. */
export interface EpochStart {
  readonly epoch: Epoch
  readonly first: Seq
}

/** Before the first entry of a new volume. */
export const origin: Mark = { epoch: 0 as Epoch, seq: 0 as Seq, chain: 0 }

/** The next rolling digest. `check` is the entry's own checksum, 32 bits, made by the storage's codec. */
export function nextChain(previous: number, epoch: Epoch, check: number): number {
  let low = (previous ^ check) >>> 0
  low = Math.imul(low ^ (low >>> 16), 0x45d9f3b)
  low = Math.imul(low ^ (low >>> 16) ^ epoch, 0x119de1f3)
  return (low ^ (low >>> 16)) >>> 0
}
