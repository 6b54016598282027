import type { Key } from '../../proto/ids.ts'
import type { BlobRange } from '../../replication/work.ts'
import type { Effect } from '../../server/store/effect.ts'
import { untext } from './body.ts'

/** No blob of a simulation is longer, so that "to the end" has a number. */
export const blobMax = 512
/** Blobs are compared, and damaged, in blocks of so many bytes. */
export const blockSize = 16

/** What entries make: keys and small blobs. Values are never written into, so a copy of the maps is a snapshot. */
export class State {
  readonly keys: Map<Key, Uint8Array>
  readonly blobs: Map<bigint, Uint8Array>
  /**
   * Values that a flipped bit has spoilt, named as `Storage.digest` names parts, each with the checksum that it no longer fits;
   * undefined: that is not known any more.
   */
  readonly damaged: Map<string, string | undefined>

  constructor(from?: State) {
    this.keys = new Map(from?.keys)
    this.blobs = new Map(from?.blobs)
    this.damaged = new Map(from?.damaged)
  }

  apply(effect: Effect): void {
    switch (effect.kind) {
      case 'put':
        this.keys.set(effect.key, effect.value)
        this.damaged.delete(effect.key)
        return
      case 'delete':
        this.keys.delete(effect.key)
        this.damaged.delete(effect.key)
        return
      case 'blob.write': {
        const old = this.blobs.get(effect.blob) ?? new Uint8Array(0)
        const data = sized(old, Math.max(old.length, effect.offset + effect.data.length))
        data.set(effect.data, effect.offset)
        this.#putBlob(effect.blob, data)
        this.#mend(effect.blob, effect.offset, effect.data.length)
        return
      }
      case 'blob.truncate':
        this.#putBlob(effect.blob, sized(this.blobs.get(effect.blob) ?? new Uint8Array(0), effect.size))
        this.#mend(effect.blob, effect.size, blobMax - effect.size)
        return
      case 'blob.zero': {
        const data = this.blobs.get(effect.blob)?.slice()
        if (data === undefined) return
        this.#putBlob(effect.blob, data.fill(0, effect.offset, effect.offset + effect.count))
        this.#mend(effect.blob, effect.offset, effect.count)
        return
      }
      case 'blob.delete':
        this.blobs.delete(effect.blob)
        this.#mend(effect.blob, 0, blobMax)
    }
  }

  isDamaged(blob: bigint, offset: number, length: number): boolean {
    if (this.damaged.size === 0) return false
    return blocks(offset, length).some((block) => this.damaged.has(`${blob}:${block}`))
  }

  /** Everything as text, for comparing and for showing a difference. */
  *lines(): Generator<string> {
    for (const key of [...this.keys.keys()].sort()) yield `${key} = ${untext(this.keys.get(key) ?? new Uint8Array(0))}`
    for (const blob of [...this.blobs.keys()].sort((a, b) => Number(a - b))) {
      yield `blob ${blob} = ${JSON.stringify(untext(this.blobs.get(blob) ?? new Uint8Array(0)))}`
    }
    for (const part of [...this.damaged.keys()].sort()) yield `damaged ${part}`
  }

  #putBlob(blob: bigint, data: Uint8Array): void {
    if (data.length > blobMax) throw new RangeError(`a simulated blob has at most ${blobMax} bytes`)
    this.blobs.set(blob, data)
  }

  /** Only a block that is written whole is known to be good again: a sum is never made from bad bytes (S15). */
  #mend(blob: bigint, offset: number, length: number): void {
    if (this.damaged.size === 0) return
    const size = this.blobs.get(blob)?.length ?? 0
    for (const block of blocks(offset, length)) {
      const end = Math.min(block + blockSize, Math.max(size, offset))
      const part = `${blob}:${block}`
      if (block >= offset && end <= offset + length) this.damaged.delete(part)
      else if (this.damaged.has(part)) this.damaged.set(part, undefined)
    }
  }
}

/** The bytes, cut or followed by zeros. */
export function sized(data: Uint8Array, size: number): Uint8Array {
  const result = new Uint8Array(size)
  result.set(data.subarray(0, size))
  return result
}

/** Offsets of the blocks that a run of bytes touches. */
export function blocks(offset: number, length: number): number[] {
  const result: number[] = []
  for (let at = offset - (offset % blockSize); at < offset + length; at += blockSize) result.push(at)
  return result
}

/** What an effect changes. */
export function touchOf(effect: Effect): { readonly key: Key } | { readonly range: BlobRange } {
  switch (effect.kind) {
    case 'put':
    case 'delete':
      return { key: effect.key }
    case 'blob.write':
      return { range: { blob: effect.blob, offset: effect.offset, length: effect.data.length } }
    case 'blob.zero':
      return { range: { blob: effect.blob, offset: effect.offset, length: effect.count } }
    case 'blob.truncate':
      return { range: { blob: effect.blob, offset: effect.size, length: Math.max(1, blobMax - effect.size) } }
    case 'blob.delete':
      return { range: { blob: effect.blob, offset: 0, length: blobMax } }
  }
}
