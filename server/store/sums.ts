import { crc32 } from 'node:zlib'
import type { Key } from '../../proto/ids.ts'

/** Checksums are kept for blocks of so many bytes, the last of a blob being shorter. */
export const blockBytes = 64 * 1024

const groupBlocks = 256
const groupBytes = blockBytes * groupBlocks
const cachedGroupsMax = 4096

/** The sums of 256 blocks, 0 for unknown (a block whose sum is 0 is taken for unknown, too: one in 2^32). */
interface Group {
  readonly blob: bigint
  readonly index: number
  readonly sums: Uint32Array
}

/** What is to be put into level, or deleted there. */
export type LocalChange = readonly [key: Key, value: Uint8Array | undefined]

/**
 * Block checksums (S15). A sum is known only when it was made from bytes that came with an entry, never from bytes read
 * back; whatever leaves doubt makes it unknown. Kept in level, in groups, and written with the batch that holds the
 * entries' other effects.
 */
export class BlockSums {
  readonly #load: (key: Key) => Uint8Array | undefined
  readonly #groups = new Map<bigint, Map<number, Group>>()
  readonly #changed = new Set<Group>()
  #count = 0

  constructor(load: (key: Key) => Uint8Array | undefined) {
    this.#load = load
  }

  /** Undefined: unknown. */
  get(blob: bigint, block: number): number | undefined {
    return this.#group(blob, Math.floor(block / groupBlocks)).sums[block % groupBlocks] || undefined
  }

  set(blob: bigint, block: number, sum: number): void {
    const group = this.#group(blob, Math.floor(block / groupBlocks))
    if (group.sums[block % groupBlocks] === sum) return
    group.sums[block % groupBlocks] = sum
    this.#changed.add(group)
  }

  /**
   * `data` was written at `offset` into a blob that had `before` bytes. Not `sound`: nothing is known about how the
   * bytes stand to what was there before.
   */
  wrote(
    blob: bigint,
    offset: number,
    data: Uint8Array,
    how: { readonly before: number; readonly sound: boolean },
  ): void {
    const end = offset + data.length
    const after = Math.max(how.before, end)
    if (offset > how.before) this.#forgetCut(blob, how.before) // zeros follow what was its last block
    for (let block = Math.floor(offset / blockBytes); block * blockBytes < end; block++) {
      const from = Math.max(offset, block * blockBytes)
      const to = Math.min(end, (block + 1) * blockBytes)
      const bytes = () => data.subarray(from - offset, to - offset)
      const toItsEnd = to === Math.min(after, (block + 1) * blockBytes)
      if (how.sound && toItsEnd && from === block * blockBytes) this.set(blob, block, crc32(bytes()))
      else if (how.sound && toItsEnd && from === how.before) {
        const old = this.get(blob, block)
        this.set(blob, block, old === undefined ? 0 : crc32(bytes(), old))
      } else this.set(blob, block, 0)
    }
  }

  /** Nothing is known of these bytes any more. */
  forget(blob: bigint, offset: number, length: number): void {
    for (let block = Math.floor(offset / blockBytes); block * blockBytes < offset + length; block++) {
      this.set(blob, block, 0)
    }
  }

  truncated(blob: bigint, size: number, before: number): void {
    this.#forgetCut(blob, Math.min(size, before))
    if (size >= before) return
    const kept = Math.ceil(size / blockBytes)
    for (let index = Math.floor(kept / groupBlocks); index * groupBytes < before; index++) {
      if (!this.#isKnown(blob, index)) continue // a sparse blob of terabytes has next to none
      const group = this.#group(blob, index)
      const from = Math.max(0, kept - index * groupBlocks)
      if (group.sums.every((sum, at) => at < from || sum === 0)) continue
      group.sums.fill(0, from)
      this.#changed.add(group)
    }
  }

  deleted(blob: bigint, before: number): void {
    this.truncated(blob, 0, before)
  }

  /** What has changed since the last call; from now on it counts as written. */
  takeChanges(): LocalChange[] {
    const changes = [...this.#changed].map(({ blob, index, sums }) => [groupKey(blob, index), encoded(sums)] as const)
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

  /** The block that a blob ends in changes in a way that is not followed. */
  #forgetCut(blob: bigint, size: number): void {
    if (size % blockBytes !== 0) this.set(blob, Math.floor(size / blockBytes), 0)
  }

  #isKnown(blob: bigint, index: number): boolean {
    return this.#groups.get(blob)?.has(index) === true || this.#load(groupKey(blob, index)) !== undefined
  }

  #group(blob: bigint, index: number): Group {
    let groups = this.#groups.get(blob)
    if (groups === undefined) {
      groups = new Map()
      this.#groups.set(blob, groups)
    }
    let group = groups.get(index)
    if (group === undefined) {
      group = { blob, index, sums: decoded(this.#load(groupKey(blob, index))) }
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

function encoded(sums: Uint32Array): Uint8Array | undefined {
  const count = sums.findLastIndex((sum) => sum !== 0) + 1
  if (count === 0) return undefined
  const bytes = Buffer.allocUnsafe(count * 4)
  for (let index = 0; index < count; index++) bytes.writeUInt32BE(sums[index] ?? 0, index * 4)
  return bytes
}

function decoded(bytes: Uint8Array | undefined): Uint32Array {
  const sums = new Uint32Array(groupBlocks)
  if (bytes === undefined) return sums
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  const count = Math.min(groupBlocks, Math.floor(bytes.length / 4))
  for (let index = 0; index < count; index++) sums[index] = view.getUint32(index * 4)
  return sums
}
