import type { Key } from '../../proto/ids.ts'
import type { BlobRange, Touched } from '../../replication/work.ts'
import type { HeadEffect } from './body.ts'
import { ByteReader, ByteWriter } from './bytes.ts'
import type { Effect } from './effect.ts'

/** Runs with a smaller gap between them are made one: a gap is compared, not moved. */
const gapMax = 64 * 1024
/** A blob with more runs than this is described by one that holds them all. */
const runsMax = 100_000
const stepCount = 256
const toTheEnd = Number.MAX_SAFE_INTEGER

/** Disjoint runs [from, to), kept as sorted once in a while. */
interface Runs {
  readonly list: [from: number, to: number][]
  sorted: boolean
}

/** What entries have changed: keys, and ranges of blobs. Only ever too much, never too little. */
export class TouchedSet {
  readonly #keys = new Set<Key>()
  readonly #blobs = new Map<bigint, Runs>()

  add(effects: readonly (Effect | HeadEffect)[]): void {
    for (const effect of effects) this.#addEffect(effect)
  }

  /** About how many bytes `encode` will give. */
  get sizeBytes(): number {
    let bytes = 0
    for (const runs of this.#blobs.values()) bytes += 16 + runs.list.length * 12
    return bytes + this.#keys.size * 24
  }

  /** `sizeOf` a blob now says where what goes to its end, ends. */
  touched(sizeOf: (blob: bigint) => number): Touched {
    const ranges: BlobRange[] = []
    for (const [blob, runs] of this.#blobs) {
      for (const [from, to] of merged(runs)) {
        if (to !== toTheEnd) ranges.push({ blob, offset: from, length: to - from })
        else {
          // Even if it now ends before: a range tells how long a blob is, so that one byte of it is enough.
          const size = sizeOf(blob)
          const offset = Math.min(from, Math.max(0, size - 1))
          ranges.push({ blob, offset, length: Math.max(1, size - offset) })
        }
      }
    }
    return { everything: false, keys: [...this.#keys], ranges }
  }

  /** Everything of another set as well, a part at each step. @throws when those bytes are damaged */
  *addEncoded(bytes: Uint8Array): Generator<void> {
    const reader = new ByteReader(bytes)
    for (let count = reader.varint(); count > 0 && !reader.broken; count--) {
      this.#keys.add(reader.key())
      if (count % stepCount === 0) yield
    }
    for (let count = reader.varint(); count > 0 && !reader.broken; count--) {
      const blob = reader.u64()
      for (let runs = reader.varint(); runs > 0 && !reader.broken; runs--) {
        const from = reader.varint()
        this.#addRun(blob, from, reader.varint())
      }
      if (count % stepCount === 0) yield
    }
    if (reader.broken || reader.left > 0) throw new Error('a set of what was touched is damaged')
  }

  encode(): Uint8Array {
    const writer = new ByteWriter(this.sizeBytes + 64)
    writer.varint(this.#keys.size)
    for (const key of this.#keys) writer.key(key)
    writer.varint(this.#blobs.size)
    for (const [blob, runs] of this.#blobs) {
      writer.u64(blob)
      const list = merged(runs)
      writer.varint(list.length)
      for (const [from, to] of list) {
        writer.varint(from)
        writer.varint(to)
      }
    }
    return writer.take()
  }

  #addEffect(effect: Effect | HeadEffect): void {
    switch (effect.kind) {
      case 'put':
      case 'delete':
        this.#keys.add(effect.key)
        return
      case 'blob.write':
        return this.#addRun(effect.blob, effect.offset, effect.offset + lengthOf(effect))
      case 'blob.zero':
        return this.#addRun(effect.blob, effect.offset, effect.offset + effect.count)
      case 'blob.truncate':
        return this.#addRun(effect.blob, effect.size, toTheEnd)
      case 'blob.delete':
        return this.#addRun(effect.blob, 0, toTheEnd)
    }
  }

  #addRun(blob: bigint, from: number, to: number): void {
    let runs = this.#blobs.get(blob)
    if (runs === undefined) {
      runs = { list: [], sorted: true }
      this.#blobs.set(blob, runs)
    }
    const last = runs.list.at(-1)
    if (last !== undefined && from >= last[0] && from <= last[1] + gapMax) {
      last[1] = Math.max(last[1], to)
      return
    }
    if (last !== undefined && from < last[1]) runs.sorted = false
    runs.list.push([from, to])
    if (runs.list.length >= runsMax) merged(runs)
  }
}

export const lengthOf = (effect: Extract<Effect | HeadEffect, { kind: 'blob.write' }>): number =>
  'length' in effect ? effect.length : effect.data.length

/** Sorts and joins in place. */
function merged(runs: Runs): readonly [from: number, to: number][] {
  if (runs.sorted && runs.list.length < runsMax) return runs.list
  runs.list.sort((a, b) => a[0] - b[0])
  let kept = 0
  for (const [from, to] of runs.list) {
    const last = runs.list[kept - 1]
    if (last !== undefined && from <= last[1] + gapMax) last[1] = Math.max(last[1], to)
    else runs.list[kept++] = [from, to]
  }
  runs.list.length = kept
  if (kept > runsMax / 2) runs.list.splice(0, kept, [runs.list[0]?.[0] ?? 0, runs.list[kept - 1]?.[1] ?? toTheEnd])
  runs.sorted = true
  return runs.list
}
