import type { Key } from '../../proto/ids.ts'
import { type Slice, sliceBytesMax, sliceKeysMax, type Wanted, type WorkItem } from '../../replication/work.ts'
import { ByteReader, ByteWriter } from './bytes.ts'
import { digestBytes, digestOfValue, noDigest, sameDigest } from './digests.ts'
import type { Effect } from './effect.ts'
import type { KeyState } from './key-state.ts'
import { madeSum, storedSum } from './seal.ts'
import { encodeSliceBody } from './slice-body.ts'

export type ReadSlice = Omit<Slice, 'at'>
/** Does a value match its own checksum? */
export type IsSound = (key: Key, value: Uint8Array) => boolean

type Keys = Extract<WorkItem, { kind: 'keys' }>
type KeyRange = Extract<WorkItem, { kind: 'keyRange' }>

export interface Described {
  readonly wanted: Wanted
  readonly rest: WorkItem | undefined
}

/**
 * What the asker has under a key. `sum`: the checksum that its bytes make, so that a source whose own value is damaged sees
 * whether what belongs there is there.
 */
interface Theirs {
  readonly digest: Uint8Array
  readonly sum: number
}
const theirsBytes = digestBytes + 4

function describeValue(writer: ByteWriter, value: Uint8Array | undefined): void {
  writer.bytes(digestOfValue(value))
  writer.u32(value === undefined ? 0 : madeSum(value))
}

const readTheirs = (reader: ByteReader): Theirs => ({ digest: reader.bytes(digestBytes), sum: reader.u32() })

const nothing: Theirs = { digest: noDigest, sum: 0 }

/** Digests: of the values, in the order of the keys. */
export function describeKeys(state: KeyState, item: Keys): Described {
  const keys = item.keys.slice(0, sliceKeysMax)
  const writer = new ByteWriter(keys.length * theirsBytes)
  for (const key of keys) describeValue(writer, state.get(key))
  const wanted = { item: { kind: 'keys', keys } as const, digests: writer.take() }
  if (item.keys.length <= sliceKeysMax) return { wanted, rest: undefined }
  return { wanted, rest: { kind: 'keys', keys: item.keys.slice(sliceKeysMax) } }
}

/** Digests: a count, and so many keys, each with that of its value. */
export async function describeKeyRange(state: KeyState, item: KeyRange): Promise<Described> {
  const reader = state.range(item)
  const found = await reader.read(sliceKeysMax + 1)
  await reader.close()
  const next = found[sliceKeysMax]?.[0]
  const writer = new ByteWriter(found.length * 44 + 16)
  writer.varint(Math.min(found.length, sliceKeysMax))
  for (const [key, value] of found.slice(0, sliceKeysMax)) {
    writer.key(key)
    describeValue(writer, value)
  }
  const digests = writer.take()
  if (next === undefined) return { wanted: { item, digests }, rest: undefined }
  return {
    wanted: { item: { kind: 'keyRange', from: item.from, to: next }, digests },
    rest: { kind: 'keyRange', from: next, to: item.to },
  }
}

export function readKeys(state: KeyState, item: Keys, digests: Uint8Array, isSound: IsSound): ReadSlice {
  const maker = new KeySliceMaker(state, isSound)
  const reader = new ByteReader(digests)
  let index = 0
  for (const key of item.keys) {
    if (maker.isFull) break
    maker.add(key, digests.length === 0 ? undefined : readTheirs(reader))
    index++
  }
  const rest = index < item.keys.length ? ({ kind: 'keys', keys: item.keys.slice(index) } as const) : undefined
  return maker.slice(rest === undefined ? item : { kind: 'keys', keys: item.keys.slice(0, index) }, rest)
}

/** `done` runs while what it is given is the present state. */
export async function readKeyRange(
  state: KeyState,
  { item, digests }: { readonly item: KeyRange; readonly digests: Uint8Array },
  isSound: IsSound,
  done: (slice: ReadSlice) => void,
): Promise<void> {
  const changed = state.observe()
  try {
    const reader = state.range(item)
    const found = await reader.read(sliceKeysMax + 1)
    await reader.close()
    const theirs = decodeKeyDigests(digests)
    const next = found[sliceKeysMax]?.[0]
    const isIn = (key: Key) => key >= item.from && (item.to === undefined || key < item.to)
    const candidates = [...found.slice(0, sliceKeysMax).map(([key]) => key), ...theirs.keys(), ...changed]
    const keys = [...new Set(candidates)].filter((key) => isIn(key) && (next === undefined || key < next)).sort()
    const maker = new KeySliceMaker(state, isSound)
    let cut = next
    for (const key of keys) {
      if (maker.isFull) {
        cut = key
        break
      }
      maker.add(key, theirs.get(key) ?? nothing)
    }
    if (cut === undefined) done(maker.slice(item, undefined))
    else {
      const rest = { kind: 'keyRange', from: cut, to: item.to } as const
      done(maker.slice({ kind: 'keyRange', from: item.from, to: cut }, rest))
    }
  } finally {
    state.unobserve(changed)
  }
}

function decodeKeyDigests(digests: Uint8Array): Map<Key, Theirs> {
  const theirs = new Map<Key, Theirs>()
  const reader = new ByteReader(digests)
  if (digests.length === 0) return theirs
  for (let count = reader.varint(); count > 0 && !reader.broken; count--) {
    const key = reader.key()
    theirs.set(key, readTheirs(reader))
  }
  return theirs
}

/** Gathers the keys of one slice from the present state. */
class KeySliceMaker {
  readonly #state: KeyState
  readonly #isSound: IsSound
  readonly #effects: Effect[] = []
  #movedBytes = 0
  #damaged = false

  constructor(state: KeyState, isSound: IsSound) {
    this.#state = state
    this.#isSound = isSound
  }

  get isFull(): boolean {
    return this.#movedBytes >= sliceBytesMax
  }

  /** @param theirs undefined: not known */
  add(key: Key, theirs: Theirs | undefined): void {
    const value = this.#state.get(key)
    if (value !== undefined && !this.#isSound(key, value)) {
      if (theirs?.sum !== storedSum(value)) this.#damaged = true
      return
    }
    if (theirs !== undefined && sameDigest(theirs.digest, 0, digestOfValue(value))) return
    if (value === undefined) this.#effects.push({ kind: 'delete', key })
    else this.#effects.push({ kind: 'put', key, value })
    this.#movedBytes += value?.length ?? 0
  }

  slice(item: WorkItem, rest: WorkItem | undefined): ReadSlice {
    if (this.#damaged) return { item, rest, body: new Uint8Array(0), movedBytes: 0, damaged: true }
    const body = encodeSliceBody({ effects: this.#effects, sums: [], blobs: [] })
    return { item, rest, body, movedBytes: this.#movedBytes, damaged: false }
  }
}
