import { ByteReader, ByteWriter } from './bytes.ts'
import type { Effect } from './effect.ts'

/**
 * The body of an entry: a list of effects as bytes. A head with everything but the bytes of big blob writes, then
 * those, one after the other (the tail), so that a journal can keep the tail elsewhere.
 *
 *     u8 format   u32 length of the head   effects   | tail
 *
 * No effects at all is no bytes at all.
 */
const format = 1
const prefixBytes = 5

/** Data of a blob write that is as long or longer goes into the tail. */
export const tailMin = 16 * 1024

const tags = {
  put: 1,
  delete: 2,
  inlineWrite: 3,
  tailWrite: 4,
  truncate: 5,
  deleteBlob: 6,
  zero: 7,
  quietPut: 8,
} as const

type BlobWrite = Extract<Effect, { kind: 'blob.write' }>

/** Do the bytes of this effect stand in the tail of its body? */
export const inTail = (effect: Effect): boolean => effect.kind === 'blob.write' && effect.data.length >= tailMin

/** An effect as far as the head tells it: bytes in the tail are only counted. */
export type HeadEffect =
  | Exclude<Effect, BlobWrite>
  | { readonly kind: 'blob.write'; readonly blob: bigint; readonly offset: number; readonly length: number }

export function encodeBody(effects: readonly Effect[]): Uint8Array {
  if (effects.length === 0) return new Uint8Array(0)
  const writer = new ByteWriter(expectedBytes(effects))
  const tail: Uint8Array[] = []
  writer.u8(format)
  writer.u32(0)
  for (const effect of effects) encodeEffect(writer, effect, tail)
  writer.setU32(1, writer.length)
  for (const data of tail) writer.bytes(data)
  return writer.take()
}

function expectedBytes(effects: readonly Effect[]): number {
  let bytes = prefixBytes
  for (const effect of effects) {
    bytes += 32
    if (effect.kind === 'put') bytes += effect.key.length + effect.value.length
    else if (effect.kind === 'delete') bytes += effect.key.length
    else if (effect.kind === 'blob.write') bytes += effect.data.length
  }
  return bytes
}

function encodeEffect(writer: ByteWriter, effect: Effect, tail: Uint8Array[]): void {
  switch (effect.kind) {
    case 'put':
      writer.u8(effect.quiet === true ? tags.quietPut : tags.put)
      writer.key(effect.key)
      return writer.block(effect.value)
    case 'delete':
      writer.u8(tags.delete)
      return writer.key(effect.key)
    case 'blob.write':
      writer.u8(inTail(effect) ? tags.tailWrite : tags.inlineWrite)
      writer.u64(effect.blob)
      writer.varint(effect.offset)
      if (!inTail(effect)) return writer.block(effect.data)
      tail.push(effect.data)
      return writer.varint(effect.data.length)
    case 'blob.truncate':
      writer.u8(tags.truncate)
      writer.u64(effect.blob)
      return writer.varint(effect.size)
    case 'blob.zero':
      writer.u8(tags.zero)
      writer.u64(effect.blob)
      writer.varint(effect.offset)
      return writer.varint(effect.count)
    case 'blob.delete':
      writer.u8(tags.deleteBlob)
      return writer.u64(effect.blob)
  }
}

/** How many bytes of a body are its head: all of them, when it has no tail or is none of ours. */
export function headLength(body: Uint8Array): number {
  if (body.length < prefixBytes) return body.length
  const reader = new ByteReader(body, 1)
  return Math.min(reader.u32(), body.length)
}

/** Undefined for bytes that `encodeBody` can't have made. Data and values are views of `body`, not copies. */
export function decodeBody(body: Uint8Array): Effect[] | undefined {
  if (body.length === 0) return []
  const head = decodeHead(body.subarray(0, headLength(body)))
  if (head === undefined) return undefined
  const tail = new ByteReader(body, headLength(body))
  const effects = head.map((effect): Effect => {
    if (effect.kind !== 'blob.write' || 'data' in effect) return effect as Effect
    const { blob, offset, length } = effect
    return { kind: 'blob.write', blob, offset, data: tail.bytes(length) }
  })
  return tail.broken || tail.left > 0 ? undefined : effects
}

/** The same from the head alone: a write whose bytes are in the tail has `length` and no `data`. */
export function decodeHead(head: Uint8Array): (Effect | HeadEffect)[] | undefined {
  if (head.length === 0) return []
  const reader = new ByteReader(head)
  if (reader.u8() !== format || reader.u32() !== head.length) return undefined
  const effects: (Effect | HeadEffect)[] = []
  while (reader.left > 0) {
    const effect = decodeEffect(reader)
    if (effect !== undefined) effects.push(effect)
  }
  return reader.broken ? undefined : effects
}

function decodeEffect(reader: ByteReader): Effect | HeadEffect | undefined {
  switch (reader.u8()) {
    case tags.put:
      return { kind: 'put', key: reader.key(), value: reader.block() }
    case tags.quietPut:
      return { kind: 'put', key: reader.key(), value: reader.block(), quiet: true }
    case tags.delete:
      return { kind: 'delete', key: reader.key() }
    case tags.inlineWrite:
      return { kind: 'blob.write', blob: reader.u64(), offset: reader.varint(), data: reader.block() }
    case tags.tailWrite:
      return { kind: 'blob.write', blob: reader.u64(), offset: reader.varint(), length: reader.varint() }
    case tags.truncate:
      return { kind: 'blob.truncate', blob: reader.u64(), size: reader.varint() }
    case tags.zero:
      return { kind: 'blob.zero', blob: reader.u64(), offset: reader.varint(), count: reader.varint() }
    case tags.deleteBlob:
      return { kind: 'blob.delete', blob: reader.u64() }
    default:
      reader.breakOff()
      return undefined
  }
}
