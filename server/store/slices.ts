import { crc32 } from 'node:zlib'
import type { Slice, Wanted, WorkItem } from '../../replication/work.ts'
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
import { type BlockSum, decodeSliceBody } from './slice-body.ts'
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
  for (const effect of content.effects) {
    if (effect.kind === 'blob.write') takeSums(state, effect, content.sums)
  }
  return content.blobs.map(({ blob, size }) => ({ kind: 'range', blob, offset: 0, length: size }))
}

/** Sums that the source knew hold here too, when the bytes that came match them. */
function takeSums(state: State, write: Extract<Effect, { kind: 'blob.write' }>, sums: readonly BlockSum[]): void {
  for (const { block, sum } of sums) {
    const from = block * blockBytes - write.offset
    if (from < 0 || from >= write.data.length) continue
    const bytes = write.data.subarray(from, from + blockBytes)
    if (crc32(bytes) !== sum) throw new Error('a slice changed on its way')
    state.sums.set(write.blob, block, sum, bytes.length)
  }
}
