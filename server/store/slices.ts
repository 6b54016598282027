import { crc32 } from 'node:zlib'
import type { BlobRange, Slice, Wanted, WorkItem } from '../../replication/work.ts'
import { applyEffects, type State } from './apply.ts'
import { describeBlobRange, describeRange, readBlobRange, readRange } from './blob-slices.ts'
import type { Effect } from './effect.ts'
import {
  type Described,
  describeKeyRange,
  describeKeys,
  type IsSound,
  type ReadSlice,
  readKeyRange,
  readKeys,
} from './key-slices.ts'
import { decodeSliceBody, type SliceContent } from './slice-body.ts'
import { blockBytes } from './sums.ts'

export async function describeItem(state: State, item: WorkItem): Promise<Described> {
  switch (item.kind) {
    case 'keys':
      return describeKeys(state.keys, item)
    case 'keyRange':
      return describeKeyRange(state.keys, item)
    case 'range':
      return describeRange(state, item)
    case 'blobRange':
      return describeBlobRange(state, item)
  }
}

/** `done` runs while what it is given is the present state. */
export async function readSliceOf(
  state: State,
  { item, digests }: Wanted,
  isSound: IsSound,
  done: (slice: ReadSlice) => void,
): Promise<void> {
  switch (item.kind) {
    case 'keys':
      return done(readKeys(state.keys, item, digests, isSound))
    case 'keyRange':
      return readKeyRange(state.keys, { item, digests }, isSound, done)
    case 'range':
      return readRange(state, { item, digests }, done)
    case 'blobRange':
      return readBlobRange(state, { item, digests }, done)
  }
}

/** @returns the items that the slice itself brings: contents of blobs that it names */
export function applySliceTo(state: State, slice: Slice): WorkItem[] {
  const content = decodeSliceBody(slice.body)
  if (slice.damaged || content === undefined) throw new Error('a slice that is damaged must not be applied')
  applyEffects(state, content.effects, { sound: false })
  if (slice.item.kind === 'range') takeSums(state, slice.item, content)
  return content.blobs.map(({ blob, size }) => ({ kind: 'range', blob, offset: 0, length: size }))
}

/**
 * From here on the range holds what it holds at the source: sums that are known there hold here too, and no others. That
 * goes for what was equal as well: a slice that was applied before a kill has left its bytes, but not their sums.
 */
function takeSums({ blobs, sums }: State, range: BlobRange, content: SliceContent): void {
  const { blob, offset, length } = range
  const size = blobs.size(blob)
  sums.endsAt(blob, size)
  if (offset < size) sums.forget(blob, offset, Math.min(length, size - offset))
  for (const { block, sum } of content.sums) {
    const start = block * blockBytes
    const end = Math.min(start + blockBytes, size)
    for (const effect of content.effects) if (effect.kind === 'blob.write') checkArrived(effect, start, end, sum)
    sums.set(blob, block, sum, end - start)
  }
}

function checkArrived({ offset, data }: BlobWrite, start: number, end: number, sum: number): void {
  if (start < offset || end > offset + data.length) return
  if (crc32(data.subarray(start - offset, end - offset)) !== sum) throw new Error('a slice changed on its way')
}

type BlobWrite = Extract<Effect, { kind: 'blob.write' }>
