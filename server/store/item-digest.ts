import { createHash } from 'node:crypto'
import type { Key } from '../../proto/ids.ts'
import type { ItemDigest } from '../../replication/ports.ts'
import type { WorkItem } from '../../replication/work.ts'
import type { State } from './apply.ts'
import { damagedBlocks } from './blob-slices.ts'
import { digestOf, isZero, noDigest } from './digests.ts'
import type { IsSound } from './key-slices.ts'
import { blockBytes } from './sums.ts'

const keysAtOnce = 1000

/** Digest of an item as it is at the call: what changes meanwhile does not count. */
export async function digestItem(state: State, item: WorkItem, isSound: IsSound, detail: boolean): Promise<ItemDigest> {
  const digest = new Digest(detail)
  switch (item.kind) {
    case 'keys':
      for (const key of item.keys) addKey(digest, key, state.keys.get(key), isSound)
      break
    case 'keyRange': {
      const reader = state.keys.range(item)
      for (;;) {
        const found = await reader.read(keysAtOnce)
        for (const [key, value] of found) addKey(digest, key, value, isSound)
        if (found.length < keysAtOnce) break
      }
      await reader.close()
      break
    }
    case 'range':
      await addRange(digest, state, item)
      break
    case 'blobRange': {
      const { blobs } = await state.blobs.list(item, Number.POSITIVE_INFINITY)
      for (const { blob, size } of blobs) digest.add(String(blob), Buffer.from(String(size)))
    }
  }
  return digest.take()
}

function addKey(digest: Digest, key: Key, value: Uint8Array | undefined, isSound: IsSound): void {
  digest.add(key, value === undefined ? noDigest : digestOf(value))
  if (value !== undefined && !isSound(key, value)) digest.damaged.push(key)
}

async function addRange(digest: Digest, state: State, item: Extract<WorkItem, { kind: 'range' }>): Promise<void> {
  const { blob } = item
  const size = state.blobs.size(blob)
  const from = item.offset - (item.offset % blockBytes)
  const end = item.offset + item.length
  const sums = new Map<number, number | undefined>()
  for (let at = from; at < Math.min(end, size); at += blockBytes) {
    sums.set(at / blockBytes, state.sums.get(blob, at / blockBytes, Math.min(blockBytes, size - at))) // as they are now: a later entry changes them
  }
  const bytes = await state.blobs.capture(blob, from, Math.ceil(end / blockBytes) * blockBytes - from)
  const known = { get: (_blob: bigint, block: number) => sums.get(block) }
  digest.add(`${blob} size`, Buffer.from(String(size)))
  for (const { at } of damagedBlocks(known, blob, bytes, from)) digest.damaged.push(`${blob}:${at}`)
  for (let at = from; at < Math.min(end, size); at += blockBytes) {
    const start = Math.max(at, item.offset)
    const block = bytes.subarray(start - from, Math.min(at + blockBytes, end) - from)
    // What is beyond the end is not there; a hole and written zeros are the same.
    digest.add(`${blob}:${at}`, isZero(block) ? noDigest : digestOf(block))
  }
}

/** The digest of parts, each with a name and a digest of its own. */
class Digest {
  readonly damaged: string[] = []
  readonly #hash = createHash('sha256')
  readonly #detail: [string, string][] | undefined

  constructor(detail: boolean) {
    this.#detail = detail ? [] : undefined
  }

  add(part: string, digest: Uint8Array): void {
    this.#hash.update(`${part.length} ${part} ${digest.length} `, 'latin1').update(digest)
    this.#detail?.push([part, Buffer.from(digest).toString('hex')])
  }

  take(): ItemDigest {
    return { digest: this.#hash.digest().subarray(0, 16), damaged: this.damaged, detail: this.#detail ?? [] }
  }
}
