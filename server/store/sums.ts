import { crc32 } from 'node:zlib'
import type { Key } from '../../proto/ids.ts'
import { joined } from './crc-join.ts'

/** Checksums are kept for blocks of so many bytes, the last of a blob being shorter. */
export const blockBytes = 64 * 1024

const groupBlocks = 256
const cachedGroupsMax = 4096
const headBytes = 8
const noPartial = 0xffff

/** The sums of 256 blocks, 0 for unknown (a block whose sum is 0 is taken for unknown, too: one in 2^32). */
interface Group {
  readonly blob: bigint
  readonly index: number
  readonly sums: Uint32Array
  /** One sum may be of the first `length` bytes of its block only: it holds while the blob ends there. */
  partial: { readonly at: number; readonly length: number } | undefined
  /** In a blob's first group: no later group than this has sums. */
  lastGroup: number
}

/** How bytes were written into a blob. */
export interface WriteHow {
  /** The size of the blob before. */
  readonly before: number
  /** Else nothing is known about how the bytes stand to what was there before. */
  readonly sound: boolean
  /** crc32 of the part of `data` for each block, where it is known already. */
  readonly parts?: Uint32Array | undefined
}

/** What is to be put into level, or deleted there. */
export type LocalChange = readonly [key: Key, value: Uint8Array | undefined]

/**
 * Block checksums (S15). A sum is known only when it was made from bytes that came with an entry, never from bytes read
 * back; whatever leaves doubt makes it unknown. Kept in level, in groups, and written with the batch that holds the
 * entries' other effects. Nothing here relies on how long a blob's file was when something was done again after a crash.
 */
export class BlockSums {
  readonly #load: (key: Key) => Uint8Array | undefined
  readonly #groups = new Map<bigint, Map<number, Group>>()
  readonly #changed = new Set<Group>()
  #count = 0

  constructor(load: (key: Key) => Uint8Array | undefined) {
    this.#load = load
  }

  /** Of a block that is `length` bytes long now. Undefined: unknown. */
  get(blob: bigint, block: number, length: number): number | undefined {
    const { sums, partial } = this.#group(blob, Math.floor(block / groupBlocks))
    const at = block % groupBlocks
    const known = partial?.at === at ? partial.length === length : length === blockBytes
    return known ? sums[at] || undefined : undefined
  }

  /** 0: unknown from now on. */
  set(blob: bigint, block: number, sum: number, length: number): void {
    const group = this.#group(blob, Math.floor(block / groupBlocks))
    const at = block % groupBlocks
    const { partial, sums } = group
    const isPartial = sum !== 0 && length < blockBytes
    if (sums[at] === sum && (partial?.at === at ? isPartial && partial.length === length : !isPartial)) return
    if (isPartial && partial !== undefined && partial.at !== at) sums[partial.at] = 0 // the blob ends here now
    if (isPartial) group.partial = { at, length }
    else if (partial?.at === at) group.partial = undefined
    sums[at] = sum
    this.#changed.add(group)
    if (sum !== 0) this.#reachTo(blob, group.index)
  }

  /** `data` was written at `offset`. */
  wrote(blob: bigint, offset: number, data: Uint8Array, how: WriteHow): void {
    const end = offset + data.length
    const after = Math.max(how.before, end)
    const first = Math.floor(offset / blockBytes)
    for (let block = first; block * blockBytes < end; block++) {
      const start = block * blockBytes
      const from = Math.max(offset, start)
      const to = Math.min(end, start + blockBytes)
      let sum = 0
      if (how.sound && to === Math.min(after, start + blockBytes)) {
        const old = from === how.before && from > start ? this.get(blob, block, from - start) : undefined
        const own = () => how.parts?.[block - first] ?? crc32(data.subarray(from - offset, to - offset))
        if (from === start) sum = own()
        else if (old !== undefined) sum = joined(old, own(), to - from)
      }
      this.set(blob, block, sum, to - start)
    }
  }

  /** Nothing is known of these bytes any more. */
  forget(blob: bigint, offset: number, length: number): void {
    for (let block = Math.floor(offset / blockBytes); block * blockBytes < offset + length; block++) {
      this.set(blob, block, 0, blockBytes)
    }
  }

  truncated(blob: bigint, size: number): void {
    const { lastGroup } = this.#group(blob, 0)
    const kept = Math.floor(size / blockBytes)
    for (let index = Math.floor(kept / groupBlocks); index <= lastGroup; index++) {
      const group = this.#group(blob, index)
      const from = Math.max(0, kept - index * groupBlocks)
      if (group.sums.every((sum, at) => at < from || sum === 0)) continue
      group.sums.fill(0, from)
      if (group.partial !== undefined && group.partial.at >= from) group.partial = undefined
      this.#changed.add(group)
    }
  }

  /** The blob is `size` bytes long, and may have been so before: what is known of its last block holds. */
  endsAt(blob: bigint, size: number): void {
    const block = Math.floor(size / blockBytes)
    const length = size - block * blockBytes
    const sum = length > 0 ? this.get(blob, block, length) : undefined
    this.truncated(blob, size)
    if (sum !== undefined) this.set(blob, block, sum, length)
  }

  deleted(blob: bigint): void {
    this.truncated(blob, 0)
  }

  /** What has changed since the last call; from now on it counts as written. */
  takeChanges(): LocalChange[] {
    const changes = [...this.#changed].map((group) => [groupKey(group.blob, group.index), encoded(group)] as const)
    this.#changed.clear()
    return changes
  }

  /** Everything taken is in level: what can be read there again may be dropped from memory. */
  trim(): void {
    if (this.#count <= cachedGroupsMax) return
    for (const [blob, groups] of this.#groups) {
      for (const [index, group] of groups) {
        if (this.#changed.has(group)) continue
        groups.delete(index)
        this.#count--
      }
      if (groups.size === 0) this.#groups.delete(blob)
    }
  }

  #reachTo(blob: bigint, index: number): void {
    const first = index === 0 ? undefined : this.#group(blob, 0)
    if (first === undefined || first.lastGroup >= index) return
    first.lastGroup = index
    this.#changed.add(first)
  }

  #group(blob: bigint, index: number): Group {
    let groups = this.#groups.get(blob)
    if (groups === undefined) {
      groups = new Map()
      this.#groups.set(blob, groups)
    }
    let group = groups.get(index)
    if (group === undefined) {
      group = decoded(blob, index, this.#load(groupKey(blob, index)))
      groups.set(index, group)
      this.#count++
    }
    return group
  }
}

/** Sums are a member's own: their keys stand before all that is replicated. */
export const sumsPrefix = '\0c'

function groupKey(blob: bigint, index: number): Key {
  const bytes = Buffer.allocUnsafe(12)
  bytes.writeBigUInt64BE(blob, 0)
  bytes.writeUInt32BE(index, 8)
  return (sumsPrefix + bytes.toString('latin1')) as Key
}

/** u16 partial block (0xffff: none)  u16 its length  u32 last group  u32 sums. Undefined when it says nothing. */
function encoded({ sums, partial, lastGroup }: Group): Uint8Array | undefined {
  const count = sums.findLastIndex((sum) => sum !== 0) + 1
  if (count === 0 && lastGroup === 0) return undefined
  const bytes = Buffer.allocUnsafe(headBytes + count * 4)
  bytes.writeUInt16BE(partial?.at ?? noPartial, 0)
  bytes.writeUInt16BE(partial?.length ?? 0, 2)
  bytes.writeUInt32BE(lastGroup, 4)
  for (let at = 0; at < count; at++) bytes.writeUInt32BE(sums[at] ?? 0, headBytes + at * 4)
  return bytes
}

function decoded(blob: bigint, index: number, bytes: Uint8Array | undefined): Group {
  const sums = new Uint32Array(groupBlocks)
  const group: Group = { blob, index, sums, partial: undefined, lastGroup: 0 }
  if (bytes === undefined || bytes.length < headBytes) return group
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  const count = Math.min(groupBlocks, Math.floor((bytes.length - headBytes) / 4))
  for (let at = 0; at < count; at++) sums[at] = view.getUint32(headBytes + at * 4)
  if (view.getUint16(0) !== noPartial) group.partial = { at: view.getUint16(0), length: view.getUint16(2) }
  group.lastGroup = view.getUint32(4)
  return group
}
