import type { Key } from '../../proto/ids.ts'
import type { ItemDigest } from '../../replication/ports.ts'
import type { Slice, Wanted, WorkItem } from '../../replication/work.ts'
import type { Effect } from '../../server/store/effect.ts'
import { encodeBody, hashBytes, text, untext } from './body.ts'
import { blockSize, blocks, type State, sized } from './state.ts'

/** Pieces of state as slices carry them. Pieces are tiny here, so that small volumes have many slices. */
const keysPerSlice = 4
const blobsPerSlice = 2
const bytesPerSlice = 4 * blockSize

/** [part, digest] of what somebody has; a part that is absent is not listed. */
type Parts = readonly (readonly [part: string, digest: string])[]

/** What a member has of (the first part of) an item, and the other part. */
export function describe(
  state: State,
  item: WorkItem,
): { readonly wanted: Wanted; readonly rest: WorkItem | undefined } {
  const { head, rest } = cut(state, item)
  const spoilt = new Set(damagedParts(state, head))
  const parts = partsOf(state, head).map(([part, digest]) => [part, spoilt.has(part) ? 'damaged' : digest])
  return { wanted: { item: head, digests: text(JSON.stringify(parts)) }, rest }
}

/** What makes somebody equal who has what `wanted` says. */
export function sliceOf(state: State, wanted: Wanted): Omit<Slice, 'at'> {
  const { head, rest } = cut(state, wanted.item)
  const unconditional = wanted.digests.length === 0
  const theirs = new Map<string, string>(unconditional ? [] : (JSON.parse(untext(wanted.digests)) as Parts))
  const ours = new Map(partsOf(state, head))
  const effects: Effect[] = []
  let damaged = false
  for (const [part, digest] of ours) {
    const isSpoilt = state.damaged.has(part)
    const sum = isSpoilt ? state.damaged.get(part) : digest // of what is spoilt here they may have what belongs there
    if (sum !== undefined && theirs.get(part) === sum) continue
    effects.push(...partPut(state, head, part))
    damaged ||= isSpoilt
  }
  for (const part of theirs.keys()) {
    if (!ours.has(part) && isIn(head, part)) effects.push(partDelete(head, part))
  }
  const moved = effects.reduce((sum, effect) => sum + movedBy(effect), 0)
  return { item: head, body: encodeBody(effects), rest, movedBytes: moved, damaged }
}

export function digestOf(state: State, item: WorkItem, detail: boolean): ItemDigest {
  const parts = partsOf(state, item)
  const all = text(JSON.stringify(parts))
  const digest = new Uint8Array(8)
  new DataView(digest.buffer).setUint32(0, hashBytes(all))
  new DataView(digest.buffer).setUint32(4, hashBytes(all, 0x9e3779b9))
  return { digest, damaged: damagedParts(state, item), detail: detail ? parts : [] }
}

/** The blobs that an item of kind `blobRange` says exist: their contents are items of their own. */
export function blobsIn(state: State, item: WorkItem): bigint[] {
  if (item.kind !== 'blobRange') return []
  return [...state.blobs.keys()]
    .filter((blob) => blob >= item.from && (item.to === undefined || blob < item.to))
    .sort((a, b) => Number(a - b))
}

function cut(state: State, item: WorkItem): { readonly head: WorkItem; readonly rest: WorkItem | undefined } {
  switch (item.kind) {
    case 'keys': {
      const more = item.keys.slice(keysPerSlice)
      if (more.length === 0) return { head: item, rest: undefined }
      return { head: { kind: 'keys', keys: item.keys.slice(0, keysPerSlice) }, rest: { kind: 'keys', keys: more } }
    }
    case 'keyRange': {
      const next = keysIn(state, item)[keysPerSlice]
      if (next === undefined) return { head: item, rest: undefined }
      return {
        head: { kind: 'keyRange', from: item.from, to: next },
        rest: { kind: 'keyRange', from: next, to: item.to },
      }
    }
    case 'range': {
      if (item.length <= bytesPerSlice) return { head: item, rest: undefined }
      const rest = { ...item, offset: item.offset + bytesPerSlice, length: item.length - bytesPerSlice }
      return { head: { ...item, length: bytesPerSlice }, rest }
    }
    case 'blobRange': {
      const next = blobsIn(state, item)[blobsPerSlice]
      if (next === undefined) return { head: item, rest: undefined }
      return {
        head: { kind: 'blobRange', from: item.from, to: next },
        rest: { kind: 'blobRange', from: next, to: item.to },
      }
    }
  }
}

function keysIn(state: State, item: WorkItem & { readonly kind: 'keyRange' }): Key[] {
  return [...state.keys.keys()].filter((key) => key >= item.from && (item.to === undefined || key < item.to)).sort()
}

function partsOf(state: State, item: WorkItem): Parts {
  switch (item.kind) {
    case 'keys':
      return item.keys.flatMap((key) => keyPart(state, key))
    case 'keyRange':
      return keysIn(state, item).flatMap((key) => keyPart(state, key))
    case 'blobRange':
      return blobsIn(state, item).map((blob) => [String(blob), String(state.blobs.get(blob)?.length)] as const)
    case 'range': {
      const data = state.blobs.get(item.blob)
      if (data === undefined) return []
      const size = ['size', String(data.length)] as const
      return [size, ...blocks(item.offset, item.length).flatMap((block) => blockPart(state, item.blob, block))]
    }
  }
}

/** Of the block at an offset. What is beyond the blob's end counts as zeros. */
export function blockPart(state: State, blob: bigint, offset: number): Parts {
  const [block = 0] = blocks(offset, 1)
  const data = state.blobs.get(blob)
  return data === undefined ? [] : [[`${blob}:${block}`, sumOf(sized(data.subarray(block), blockSize))]]
}

export function keyPart(state: State, key: Key): Parts {
  const value = state.keys.get(key)
  return value === undefined ? [] : [[key, sumOf(value)]]
}

const sumOf = (bytes: Uint8Array): string => String(hashBytes(bytes))

function partPut(state: State, item: WorkItem, part: string): Effect[] {
  switch (item.kind) {
    case 'keys':
    case 'keyRange':
      return [{ kind: 'put', key: part as Key, value: state.keys.get(part as Key) ?? new Uint8Array(0) }]
    case 'blobRange':
      return [{ kind: 'blob.truncate', blob: BigInt(part), size: state.blobs.get(BigInt(part))?.length ?? 0 }]
    case 'range': {
      const data = state.blobs.get(item.blob) ?? new Uint8Array(0)
      if (part === 'size') return [{ kind: 'blob.truncate', blob: item.blob, size: data.length }]
      const offset = Number(part.slice(part.indexOf(':') + 1))
      const bytes = data.slice(offset, offset + blockSize)
      return bytes.length === 0 ? [] : [{ kind: 'blob.write', blob: item.blob, offset, data: bytes }]
    }
  }
}

function partDelete(item: WorkItem, part: string): Effect {
  if (item.kind === 'range') return { kind: 'blob.delete', blob: item.blob }
  return item.kind === 'blobRange' ? { kind: 'blob.delete', blob: BigInt(part) } : { kind: 'delete', key: part as Key }
}

/** The sender may have cut the item shorter than the asker described it. */
function isIn(item: WorkItem, part: string): boolean {
  switch (item.kind) {
    case 'keys':
      return item.keys.includes(part as Key)
    case 'keyRange':
      return item.to === undefined || part < item.to
    case 'blobRange':
      return item.to === undefined || BigInt(part) < item.to
    case 'range':
      return part === 'size'
  }
}

function damagedParts(state: State, item: WorkItem): readonly string[] {
  if (state.damaged.size === 0) return []
  const has = (part: string) => state.damaged.has(part)
  switch (item.kind) {
    case 'keys':
      return item.keys.filter(has)
    case 'keyRange':
      return keysIn(state, item).filter(has)
    case 'range':
      return blocks(item.offset, item.length)
        .map((block) => `${item.blob}:${block}`)
        .filter(has)
    case 'blobRange':
      return []
  }
}

function movedBy(effect: Effect): number {
  if (effect.kind === 'put') return effect.value.length
  return effect.kind === 'blob.write' ? effect.data.length : 0
}
