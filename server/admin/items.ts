import { key } from '../../proto/ids.ts'
import { sliceBytesMax, type WorkItem } from '../../replication/work.ts'
import { prefixes, replicatedFrom, replicatedTo } from '../store/keys.ts'
import { decodeInode } from '../store/records.ts'
import type { VolumeStore } from '../store/volume-store.ts'

/** Something to compare, and how much it is: for progress. */
export interface Item {
  readonly item: WorkItem
  readonly bytes: number
}

const keysAtOnce = 1000
/** Blobs in one item, at most: as many as have numbers so near each other. */
const blobsAtOnce = 4096n

/**
 * Everything there is, in items of a slice each, as it stands when they are asked for: what is made behind this walk is
 * not looked at, and what is gone meanwhile is found gone on all members.
 */
export async function* allItems(store: Pick<VolumeStore, 'scan'>): AsyncGenerator<Item, void> {
  yield* keyItems(store)
  yield* blobItems(store)
}

/** How much there is to compare, about: from the sizes in the inodes. */
export async function bytesToCompare(store: Pick<VolumeStore, 'scan'>): Promise<number> {
  let bytes = 0
  for await (const { size } of blobs(store)) bytes += size
  return bytes
}

async function* keyItems(store: Pick<VolumeStore, 'scan'>): AsyncGenerator<Item, void> {
  let from = replicatedFrom
  for (;;) {
    const rows = await store.scan(key(''), from, keysAtOnce + 1)
    const next = rows[keysAtOnce]?.[0]
    const bytes = rows.reduce((sum, [name, value]) => sum + name.length + value.length, 0)
    const to = next === undefined || next >= replicatedTo ? replicatedTo : next
    yield { item: { kind: 'keyRange', from, to }, bytes }
    if (to === replicatedTo) return
    from = to
  }
}

async function* blobItems(store: Pick<VolumeStore, 'scan'>): AsyncGenerator<Item, void> {
  let listed = 0n
  for await (const { blob, size } of blobs(store)) {
    if (blob >= listed + blobsAtOnce) {
      yield { item: { kind: 'blobRange', from: listed, to: blob }, bytes: 0 } // numbers have wide gaps
      listed = blob
    }
    for (let offset = 0; offset < size; offset += sliceBytesMax) {
      const length = Math.min(sliceBytesMax, size - offset)
      yield { item: { kind: 'range', blob, offset, length }, bytes: length }
    }
  }
  yield { item: { kind: 'blobRange', from: listed, to: undefined }, bytes: 0 }
}

async function* blobs(
  store: Pick<VolumeStore, 'scan'>,
): AsyncGenerator<{ readonly blob: bigint; readonly size: number }, void> {
  let from = prefixes.inode
  for (;;) {
    const rows = await store.scan(prefixes.inode, from, keysAtOnce)
    for (const [, value] of rows) {
      const { blob, size } = decodeInode(value)
      if (blob !== 0n) yield { blob, size }
    }
    const last = rows.at(-1)
    if (last === undefined || rows.length < keysAtOnce) return
    from = key(`${last[0]}\0`)
  }
}
