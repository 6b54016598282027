import { incarnation, type NodeId } from '../../proto/ids.ts'
import type { Place } from '../session/places.ts'
import { bodyAt, DamagedRecord, frame, seal, unseal } from './seal.ts'

const kindPlace = 0x70
const placeVersion = 1

/** u64 which hello; u16 length of the member's name, name; u16 length of its process's name, name. */
export function encodePlace(place: Place): Buffer {
  const texts = [place.node, place.incarnation].map((text) => Buffer.from(text))
  const value = frame(
    kindPlace,
    placeVersion,
    texts.reduce((sum, text) => sum + 2 + text.length, 8),
  )
  let at = value.writeBigUInt64LE(place.attach, bodyAt)
  for (const text of texts) {
    at = value.writeUInt16LE(text.length, at)
    value.set(text, at)
    at += text.length
  }
  return seal(value)
}

/** @throws DamagedRecord */
export function decodePlace(record: Uint8Array): Place {
  const end = unseal(record, kindPlace, placeVersion)
  const value = Buffer.from(record.buffer, record.byteOffset, end)
  const texts: string[] = []
  let at = bodyAt + 8
  while (at < end && texts.length < 2) {
    const textAt = at + 2
    const textEnd = textAt <= end ? textAt + value.readUInt16LE(at) : textAt
    if (textEnd > end) throw new DamagedRecord('body', 'a name in a place is cut short')
    texts.push(value.toString('utf8', textAt, textEnd))
    at = textEnd
  }
  const [node, process] = texts
  if (node === undefined || process === undefined || at !== end)
    throw new DamagedRecord('body', 'a place of odd length')
  return { node: node as NodeId, incarnation: incarnation(process), attach: value.readBigUInt64LE(bodyAt) }
}
