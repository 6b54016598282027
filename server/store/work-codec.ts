import type { Key } from '../../proto/ids.ts'
import type { WorkItem } from '../../replication/work.ts'
import type { ByteReader, ByteWriter } from './bytes.ts'

/** u8 kind, then what belongs to it. An end that is not given is a zero byte, a given one a one before it. */
export function writeWork(writer: ByteWriter, item: WorkItem): void {
  switch (item.kind) {
    case 'keys':
      writer.u8(1)
      writer.varint(item.keys.length)
      for (const key of item.keys) writer.key(key)
      return
    case 'keyRange':
      writer.u8(2)
      writer.key(item.from)
      writer.u8(item.to === undefined ? 0 : 1)
      if (item.to !== undefined) writer.key(item.to)
      return
    case 'range':
      writer.u8(3)
      writer.u64(item.blob)
      writer.varint(item.offset)
      writer.varint(item.length)
      return
    case 'blobRange':
      writer.u8(4)
      writer.u64(item.from)
      writer.u8(item.to === undefined ? 0 : 1)
      if (item.to !== undefined) writer.u64(item.to)
  }
}

/** Breaks the reader off where there is no item. */
export function readWork(reader: ByteReader): WorkItem {
  switch (reader.u8()) {
    case 1: {
      const keys: Key[] = []
      for (let count = reader.varint(); count > 0 && !reader.broken; count--) keys.push(reader.key())
      return { kind: 'keys', keys }
    }
    case 2:
      return { kind: 'keyRange', from: reader.key(), to: reader.u8() === 0 ? undefined : reader.key() }
    case 3:
      return { kind: 'range', blob: reader.u64(), offset: reader.varint(), length: reader.varint() }
    case 4:
      return { kind: 'blobRange', from: reader.u64(), to: reader.u8() === 0 ? undefined : reader.u64() }
    default:
      reader.breakOff()
      return { kind: 'keys', keys: [] }
  }
}

export function writeWorkList(writer: ByteWriter, work: readonly WorkItem[]): void {
  writer.varint(work.length)
  for (const item of work) writeWork(writer, item)
}

export function readWorkList(reader: ByteReader): WorkItem[] {
  const work: WorkItem[] = []
  for (let count = reader.varint(); count > 0 && !reader.broken; count--) work.push(readWork(reader))
  return work
}

/** How much an item counts in the progress of a resync: bytes of contents; a guess for keys, none for ranges of names. */
export function weightBytes(item: WorkItem): number {
  if (item.kind === 'range') return item.length
  return item.kind === 'keys' ? item.keys.length * 256 : 0
}
