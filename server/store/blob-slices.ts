import { crc32 } from 'node:zlib'
import { sliceBytesMax, sliceKeysMax, type WorkItem } from '../../replication/work.ts'
import type { State } from './apply.ts'
import type { BlobSize } from './blob-list.ts'
import { ByteReader, ByteWriter } from './bytes.ts'
import { digestBytes, digestOfPiece, piecesOf, sameDigest } from './digests.ts'
import type { Effect } from './effect.ts'
import type { Described, ReadSlice } from './key-slices.ts'
import { type BlockSum, encodeSliceBody } from './slice-body.ts'
import { type BlockSums, blockBytes } from './sums.ts'

type Range = Extract<WorkItem, { kind: 'range' }>
type BlobRangeItem = Extract<WorkItem, { kind: 'blobRange' }>

const sizeBytes = 6

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

/** Digests: u48 size of the blob, then those of the pieces. */
export async function describeRange({ blobs }: State, item: Range): Promise<Described> {
  const { head, rest } = cutRange(item)
  const bytes = await blobs.read(head.blob, head.offset, head.length)
  const writer = new ByteWriter(sizeBytes + (head.length / 4096 + 2) * digestBytes)
  writer.u48(blobs.size(head.blob))
  for (const piece of piecesOf(head.offset, head.length)) writer.bytes(digestOfPiece(piece, bytes, head.offset))
  return { wanted: { item: head, digests: writer.take() }, rest }
}

/** `done` runs while what it is given is the present state. */
export async function readRange(
  state: State,
  { item, digests }: { readonly item: Range; readonly digests: Uint8Array },
  done: (slice: ReadSlice) => void,
): Promise<void> {
  const { head, rest } = cutRange(item)
  const from = head.offset - (head.offset % blockBytes)
  const to = Math.ceil((head.offset + head.length) / blockBytes) * blockBytes
  await state.blobs.readThen(head.blob, { offset: from, length: to - from }, (bytes) =>
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
  if (damagedBlocks(state.sums, head.blob, bytes, from).length > 0) {
    return { item: head, rest, body: new Uint8Array(0), movedBytes: 0, damaged: true }
  }
  const size = state.blobs.size(head.blob)
  const writes = differingRuns(head, digests, bytes, from).map(([start, end]): BlobWrite => {
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

/** Runs [start, end) of pieces that the asker has not. */
function differingRuns(head: Range, digests: Uint8Array, bytes: Buffer, from: number): [number, number][] {
  const runs: [number, number][] = []
  const theirs = digests.subarray(sizeBytes)
  for (const [index, piece] of piecesOf(head.offset, head.length).entries()) {
    if (sameDigest(theirs, index, digestOfPiece(piece, bytes, from))) continue
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

/** Offsets of the blocks whose bytes do not match a sum that is known. `bytes` as in `rangeSlice`. */
export function damagedBlocks(sums: Pick<BlockSums, 'get'>, blob: bigint, bytes: Uint8Array, from: number): number[] {
  const damaged: number[] = []
  for (let at = 0; at < bytes.length; at += blockBytes) {
    const block = bytes.subarray(at, at + blockBytes)
    const sum = sums.get(blob, (from + at) / blockBytes, block.length)
    if (sum !== undefined && crc32(block) !== sum) damaged.push(from + at)
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
