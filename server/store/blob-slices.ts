import { crc32 } from 'node:zlib'
import { sliceBytesMax, sliceKeysMax, type WorkItem } from '../../replication/work.ts'
import type { State } from './apply.ts'
import type { BlobSize } from './blob-list.ts'
import { ByteReader, ByteWriter } from './bytes.ts'
import { digestBytes, digestOfPiece, type Piece, piecesOf, sameDigest } from './digests.ts'
import type { Effect } from './effect.ts'
import type { Described, ReadSlice } from './key-slices.ts'
import { type BlockSum, encodeSliceBody } from './slice-body.ts'
import { type BlockSums, blockBytes } from './sums.ts'

type Range = Extract<WorkItem, { kind: 'range' }>
type BlobRangeItem = Extract<WorkItem, { kind: 'blobRange' }>

const sizeBytes = 6
const sumBytes = 4

/** The part of a range that makes one slice; the rest begins with a block. */
function cutRange(item: Range): { readonly head: Range; readonly rest: Range | undefined } {
  if (item.length <= sliceBytesMax) return { head: item, rest: undefined }
  const end = item.offset + sliceBytesMax
  const cut = end - (end % blockBytes)
  return {
    head: { ...item, length: cut - item.offset },
    rest: { ...item, offset: cut, length: item.length - (cut - item.offset) },
  }
}

/** The blocks that a range touches, whole. */
function blocksOf({ offset, length }: Range): { readonly from: number; readonly length: number } {
  const from = offset - (offset % blockBytes)
  return { from, length: Math.ceil((offset + length) / blockBytes) * blockBytes - from }
}

/**
 * Digests: u48 size of the blob, those of the pieces, then u32 crc32 of each block, so that a source whose own is damaged
 * sees whether what belongs there is there.
 */
export async function describeRange({ blobs }: State, item: Range): Promise<Described> {
  const { head, rest } = cutRange(item)
  const { from, length } = blocksOf(head)
  const bytes = await blobs.read(head.blob, from, length)
  const writer = new ByteWriter(sizeBytes + (head.length / 4096 + 2) * digestBytes + (length / blockBytes) * sumBytes)
  writer.u48(blobs.size(head.blob))
  for (const piece of piecesOf(head.offset, head.length)) writer.bytes(digestOfPiece(piece, bytes, from))
  for (let at = 0; at < length; at += blockBytes) writer.u32(crc32(bytes.subarray(at, at + blockBytes)))
  return { wanted: { item: head, digests: writer.take() }, rest }
}

/** `done` runs while what it is given is the present state. */
export async function readRange(
  state: State,
  { item, digests }: { readonly item: Range; readonly digests: Uint8Array },
  done: (slice: ReadSlice) => void,
): Promise<void> {
  const { head, rest } = cutRange(item)
  const { from, length } = blocksOf(head)
  await state.blobs.readThen(head.blob, { offset: from, length }, (bytes) =>
    done(rangeSlice(state, { head, rest, digests }, bytes, from)),
  )
}

interface RangeAsked {
  readonly head: Range
  readonly rest: Range | undefined
  readonly digests: Uint8Array
}

/** `bytes` are whole blocks of the blob, from `from` on, up to its end. */
function rangeSlice(state: State, { head, rest, digests }: RangeAsked, bytes: Buffer, from: number): ReadSlice {
  const damaged = damagedBlocks(state.sums, head.blob, bytes, from)
  const isWholeThere = ({ at, sum }: DamagedBlock): boolean => sumIn(digests, head, at) === sum
  if (!damaged.every(isWholeThere)) {
    return { item: head, rest, body: new Uint8Array(0), movedBytes: 0, damaged: true }
  }
  const size = state.blobs.size(head.blob)
  const asThere = new Set(damaged.map(({ at }) => at))
  const isEqual = ({ offset, length }: Piece, index: number): boolean =>
    asThere.has(offset - (offset % blockBytes)) ||
    sameDigest(digests.subarray(sizeBytes), index, digestOfPiece({ offset, length }, bytes, from))
  const writes = differingRuns(head, isEqual).map(([start, end]): BlobWrite => {
    const data = bytes.subarray(start - from, Math.min(end - from, bytes.length))
    return { kind: 'blob.write', blob: head.blob, offset: start, data }
  })
  const theirSize = digests.length === 0 ? undefined : new ByteReader(digests).u48()
  const effects = [...resizing(head.blob, size, theirSize), ...writes.filter(({ data }) => data.length > 0)]
  const sums = knownSums(state.sums, head, size)
  const movedBytes = writes.reduce((sum, { data }) => sum + data.length, 0)
  return { item: head, rest, body: encodeSliceBody({ effects, sums, blobs: [] }), movedBytes, damaged: false }
}

type BlobWrite = Extract<Effect, { kind: 'blob.write' }>

/** What the asker's block at an offset adds up to. undefined: it did not say. */
function sumIn(digests: Uint8Array, head: Range, at: number): number | undefined {
  const sums = digests.subarray(sizeBytes + piecesOf(head.offset, head.length).length * digestBytes)
  const position = ((at - blocksOf(head).from) / blockBytes) * sumBytes
  if (position + sumBytes > sums.length) return undefined
  return new DataView(sums.buffer, sums.byteOffset).getUint32(position)
}

/** Runs [start, end) of pieces that the asker has not. */
function differingRuns(head: Range, isEqual: (piece: Piece, index: number) => boolean): [number, number][] {
  const runs: [number, number][] = []
  for (const [index, piece] of piecesOf(head.offset, head.length).entries()) {
    if (isEqual(piece, index)) continue
    const last = runs.at(-1)
    if (last !== undefined && last[1] === piece.offset) last[1] = piece.offset + piece.length
    else runs.push([piece.offset, piece.offset + piece.length])
  }
  return runs
}

function resizing(blob: bigint, size: number, theirs: number | undefined): Effect[] {
  if (size === theirs) return []
  return [size === 0 ? { kind: 'blob.delete', blob } : { kind: 'blob.truncate', blob, size }]
}

/** Blocks that lie in the range wholly, with the sums that are known. */
function knownSums(sums: BlockSums, { blob, offset, length }: Range, size: number): BlockSum[] {
  const known: BlockSum[] = []
  const end = Math.min(offset + length, size)
  for (let block = Math.ceil(offset / blockBytes); block * blockBytes < end; block++) {
    const start = block * blockBytes
    const bytes = Math.min(blockBytes, size - start)
    const sum = start + bytes > end ? undefined : sums.get(blob, block, bytes)
    if (sum !== undefined) known.push({ block, sum })
  }
  return known
}

/** A block whose bytes do not match the sum that is known of it. `at`: its offset. */
export interface DamagedBlock {
  readonly at: number
  readonly sum: number
}

/** `bytes` as in `rangeSlice`. */
export function damagedBlocks(
  sums: Pick<BlockSums, 'get'>,
  blob: bigint,
  bytes: Uint8Array,
  from: number,
): DamagedBlock[] {
  const damaged: DamagedBlock[] = []
  for (let at = 0; at < bytes.length; at += blockBytes) {
    const block = bytes.subarray(at, at + blockBytes)
    const sum = sums.get(blob, (from + at) / blockBytes, block.length)
    if (sum !== undefined && crc32(block) !== sum) damaged.push({ at: from + at, sum })
  }
  return damaged
}

/** Digests: a count, and so many blobs with their sizes. */
export async function describeBlobRange({ blobs }: State, item: BlobRangeItem): Promise<Described> {
  const list = await blobs.list(item, sliceKeysMax)
  const writer = new ByteWriter()
  writer.varint(list.blobs.length)
  for (const { blob, size } of list.blobs) {
    writer.u64(blob)
    writer.varint(size)
  }
  const digests = writer.take()
  if (list.next === undefined) return { wanted: { item, digests }, rest: undefined }
  return {
    wanted: { item: { ...item, to: list.next }, digests },
    rest: { ...item, from: list.next },
  }
}

/** What there is; what the asker has and must not have goes; sizes are made equal; contents are items of their own. */
export async function readBlobRange(
  { blobs }: State,
  { item, digests }: { readonly item: BlobRangeItem; readonly digests: Uint8Array },
  done: (slice: ReadSlice) => void,
): Promise<void> {
  await blobs.listThen(item, sliceKeysMax, (list) => {
    const head = list.next === undefined ? item : { ...item, to: list.next }
    const rest = list.next === undefined ? undefined : { ...item, from: list.next }
    const ours = new Map(list.blobs.map(({ blob, size }) => [blob, size]))
    const effects: Effect[] = []
    for (const { blob, size } of decodeBlobSizes(digests)) {
      if (head.to !== undefined && blob >= head.to) continue
      effects.push(...resizing(blob, ours.get(blob) ?? 0, size))
    }
    done({
      item: head,
      rest,
      body: encodeSliceBody({ effects, sums: [], blobs: list.blobs }),
      movedBytes: 0,
      damaged: false,
    })
  })
}

function decodeBlobSizes(digests: Uint8Array): BlobSize[] {
  const sizes: BlobSize[] = []
  const reader = new ByteReader(digests)
  for (let count = digests.length === 0 ? 0 : reader.varint(); count > 0 && !reader.broken; count--) {
    sizes.push({ blob: reader.u64(), size: reader.varint() })
  }
  return sizes
}
