import { hash } from 'node:crypto'

/** Bytes of the digest of a value or of a piece of a blob: two that differ have the same one once in 2^64. */
export const digestBytes = 8

/** Blobs are compared in pieces of so many bytes: no more than a changed piece is moved. */
export const pieceBytes = 4096

/** Of what is not there, and of a piece that is all zeros. */
export const noDigest: Uint8Array = new Uint8Array(digestBytes)

const zeros = Buffer.alloc(pieceBytes)

export const isZero = (bytes: Uint8Array): boolean => {
  for (let at = 0; at < bytes.length; at += pieceBytes) {
    const part = bytes.subarray(at, at + pieceBytes)
    if (zeros.compare(part, 0, part.length, 0, part.length) !== 0) return false
  }
  return true
}

export function digestOf(bytes: Uint8Array): Uint8Array {
  return hash('sha256', bytes, 'buffer').subarray(0, digestBytes)
}

export const digestOfValue = (value: Uint8Array | undefined): Uint8Array =>
  value === undefined ? noDigest : digestOf(value)

/** One piece after the other, on the grid of `pieceBytes`; what is beyond the end of a blob reads as zeros. */
export interface Piece {
  readonly offset: number
  readonly length: number
}

export function piecesOf(offset: number, length: number): Piece[] {
  const pieces: Piece[] = []
  for (let at = offset; at < offset + length; ) {
    const end = Math.min(offset + length, at - (at % pieceBytes) + pieceBytes)
    pieces.push({ offset: at, length: end - at })
    at = end
  }
  return pieces
}

/** `bytes` are a blob's from `from` on, up to its end or farther than the piece. */
export function digestOfPiece(piece: Piece, bytes: Uint8Array, from: number): Uint8Array {
  const there = bytes.subarray(piece.offset - from, piece.offset - from + piece.length)
  if (isZero(there)) return noDigest
  if (there.length === piece.length) return digestOf(there)
  const padded = Buffer.alloc(piece.length)
  padded.set(there)
  return digestOf(padded)
}

export const sameDigest = (digests: Uint8Array, index: number, digest: Uint8Array): boolean => {
  const at = index * digestBytes
  if (at + digestBytes > digests.length) return false
  for (let byte = 0; byte < digestBytes; byte++) if (digests[at + byte] !== digest[byte]) return false
  return true
}
