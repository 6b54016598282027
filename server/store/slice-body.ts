import type { BlobSize } from './blob-list.ts'
import { decodeBody, encodeBody } from './body.ts'
import { ByteReader, ByteWriter } from './bytes.ts'
import type { Effect } from './effect.ts'

/** The sum of a block, known at its source. */
export interface BlockSum {
  readonly block: number
  readonly sum: number
}

/** What a slice brings. */
export interface SliceContent {
  readonly effects: readonly Effect[]
  /** Of blocks that lie in the item's range wholly: the source has checked its bytes against them. */
  readonly sums: readonly BlockSum[]
  /** Blobs whose contents are to be brought over as well: each becomes an item of its own. */
  readonly blobs: readonly BlobSize[]
}

/** u8 format, effects as in an entry's body, sums, blobs. */
const format = 1

export function encodeSliceBody(content: SliceContent): Uint8Array {
  const effects = encodeBody(content.effects)
  const writer = new ByteWriter(effects.length + content.sums.length * 12 + content.blobs.length * 16 + 32)
  writer.u8(format)
  writer.block(effects)
  writer.varint(content.sums.length)
  for (const { block, sum } of content.sums) {
    writer.varint(block)
    writer.u32(sum)
  }
  writer.varint(content.blobs.length)
  for (const { blob, size } of content.blobs) {
    writer.u64(blob)
    writer.varint(size)
  }
  return writer.take()
}

/** Undefined for bytes that `encodeSliceBody` can't have made. */
export function decodeSliceBody(body: Uint8Array): SliceContent | undefined {
  const reader = new ByteReader(body)
  if (reader.u8() !== format) return undefined
  const effects = decodeBody(reader.block())
  const sums: BlockSum[] = []
  for (let count = reader.varint(); count > 0 && !reader.broken; count--) {
    sums.push({ block: reader.varint(), sum: reader.u32() })
  }
  const blobs: BlobSize[] = []
  for (let count = reader.varint(); count > 0 && !reader.broken; count--) {
    blobs.push({ blob: reader.u64(), size: reader.varint() })
  }
  return reader.broken || reader.left > 0 || effects === undefined ? undefined : { effects, sums, blobs }
}
