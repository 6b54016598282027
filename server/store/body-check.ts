import { crc32 } from 'node:zlib'
import { decodeHead, headLength } from './body.ts'
import { joined } from './crc-join.ts'
import { blockBytes } from './sums.ts'

/** The checksum of a body, and those of what it brings for each block of a blob: bytes are gone through once. */
export interface BodyCheck {
  /** crc32 of all of it. */
  readonly check: number
  /** For each write in the tail, in order: crc32 of its part of each block it touches. */
  readonly parts: readonly Uint32Array[]
}

export function checkBody(body: Uint8Array): BodyCheck {
  const headBytes = headLength(body)
  const head = headBytes < body.length ? decodeHead(body.subarray(0, headBytes)) : undefined
  if (head === undefined) return { check: crc32(body), parts: [] }
  const parts: Uint32Array[] = []
  let check = crc32(body.subarray(0, headBytes))
  let at = headBytes
  for (const effect of head) {
    if (!('length' in effect)) continue
    const first = Math.floor(effect.offset / blockBytes)
    const sums = new Uint32Array(Math.ceil((effect.offset + effect.length) / blockBytes) - first)
    for (let index = 0, done = 0; index < sums.length; index++) {
      const end = Math.min(effect.length, (first + index + 1) * blockBytes - effect.offset)
      const sum = crc32(body.subarray(at + done, at + end))
      check = joined(check, sum, end - done)
      sums[index] = sum
      done = end
    }
    parts.push(sums)
    at += effect.length
  }
  return at === body.length ? { check, parts } : { check: crc32(body), parts: [] }
}
