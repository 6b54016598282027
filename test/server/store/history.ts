import type { Epoch, Key, Seq } from '../../../proto/ids.ts'
import { type Entry, type Mark, nextChain } from '../../../replication/entry.ts'
import type { Storage } from '../../../replication/ports.ts'
import type { Effect } from '../../../server/store/effect.ts'

export const key = (text: string): Key => `k${text}` as Key
export const seq = (value: number): Seq => value as Seq
export const epoch = (value: number): Epoch => value as Epoch
export const bytes = (text: string): Uint8Array => Buffer.from(text)

export const put = (name: string, value: string): Effect => ({ kind: 'put', key: key(name), value: bytes(value) })
export const del = (name: string): Effect => ({ kind: 'delete', key: key(name) })
export const write = (blob: bigint, offset: number, data: Uint8Array): Effect => ({
  kind: 'blob.write',
  blob,
  offset,
  data,
})
export const truncate = (blob: bigint, size: number): Effect => ({ kind: 'blob.truncate', blob, size })
export const zero = (blob: bigint, offset: number, length: number): Effect => ({
  kind: 'blob.zero',
  blob,
  offset,
  count: length,
})
export const remove = (blob: bigint): Effect => ({ kind: 'blob.delete', blob })

/** The entry after `last`, as a primary makes it. */
export function entryAfter(storage: Pick<Storage, 'check'>, last: Mark, of: Epoch, body: Uint8Array): Entry {
  const chain = nextChain(last.chain, of, storage.check(body))
  return { epoch: of, seq: seq(last.seq + 1), chain, body }
}

/** What effects make of nothing: the simplest thing that can be right. */
export class Model {
  readonly keys: Map<Key, Uint8Array>
  readonly blobs: Map<bigint, Uint8Array>

  constructor(from?: Model) {
    this.keys = new Map(from?.keys)
    this.blobs = new Map(from?.blobs)
  }

  apply(effects: readonly Effect[]): this {
    for (const effect of effects) this.#applyOne(effect)
    return this
  }

  #applyOne(effect: Effect): void {
    switch (effect.kind) {
      case 'put':
        this.keys.set(effect.key, effect.value)
        return
      case 'delete':
        this.keys.delete(effect.key)
        return
      case 'blob.write': {
        const old = this.blobs.get(effect.blob) ?? new Uint8Array(0)
        const data = new Uint8Array(Math.max(old.length, effect.offset + effect.data.length))
        data.set(old)
        data.set(effect.data, effect.offset)
        this.blobs.set(effect.blob, data)
        return
      }
      case 'blob.truncate': {
        const data = new Uint8Array(effect.size)
        data.set((this.blobs.get(effect.blob) ?? data).subarray(0, effect.size))
        this.blobs.set(effect.blob, data)
        return
      }
      case 'blob.zero':
        this.blobs.get(effect.blob)?.fill(0, effect.offset, effect.offset + effect.count)
        return
      case 'blob.delete':
        this.blobs.delete(effect.blob)
    }
  }
}
