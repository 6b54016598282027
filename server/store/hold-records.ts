import { bodyAt, DamagedRecord, frame, seal, unseal } from './seal.ts'

/** Who may answer writes to a file by itself. */
export interface Hold {
  readonly session: bigint
  /** Given by the session, once. */
  readonly number: bigint
}

const kindHold = 0x77
const holdVersion = 1
const holdBytes = 16

export function encodeHold({ session, number }: Hold): Buffer {
  const value = frame(kindHold, holdVersion, holdBytes)
  value.writeBigUInt64LE(session, bodyAt)
  value.writeBigUInt64LE(number, bodyAt + 8)
  return seal(value)
}

/** @throws DamagedRecord */
export function decodeHold(record: Uint8Array): Hold {
  const end = unseal(record, kindHold, holdVersion)
  if (end - bodyAt !== holdBytes) throw new DamagedRecord('body', 'a hold of odd length')
  const view = new DataView(record.buffer, record.byteOffset, record.length)
  return { session: view.getBigUint64(bodyAt, true), number: view.getBigUint64(bodyAt + 8, true) }
}
