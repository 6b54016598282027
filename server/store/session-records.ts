import { bodyAt, DamagedRecord, frame, seal, unseal } from './seal.ts'

/** A driver's session, as every member knows it. It ends when its record goes; its number is never given away again (R31). */
export interface SessionRecord {
  /** Whose: the mount's host, process and mount point. */
  readonly host: string
  readonly pid: number
  readonly path: string
  /** The driver's own name for it, so that asking twice for a session gives one. */
  readonly nonce: string
  /** The member it uses, or used last (S21); empty while there was none. */
  readonly provider: string
  readonly openedNs: bigint
}

const kindSession = 0x73
const sessionVersion = 1
/** Longer strings are cut when encoded: they are for people to read. */
const textBytesMax = 0xffff

export function encodeSession(session: SessionRecord): Buffer {
  const texts = [session.host, session.path, session.nonce, session.provider].map((text) =>
    Buffer.from(text).subarray(0, textBytesMax),
  )
  const value = frame(
    kindSession,
    sessionVersion,
    texts.reduce((sum, text) => sum + 2 + text.length, 12),
  )
  value.writeUInt32LE(session.pid, bodyAt)
  value.writeBigInt64LE(session.openedNs, bodyAt + 4)
  let at = bodyAt + 12
  for (const text of texts) {
    at = value.writeUInt16LE(text.length, at)
    value.set(text, at)
    at += text.length
  }
  return seal(value)
}

/** @throws DamagedRecord */
export function decodeSession(record: Uint8Array): SessionRecord {
  const end = unseal(record, kindSession, sessionVersion)
  const value = Buffer.from(record.buffer, record.byteOffset, end)
  const texts: string[] = []
  let at = bodyAt + 12
  while (at < end && texts.length < 4) {
    const textAt = at + 2
    const textEnd = textAt <= end ? textAt + value.readUInt16LE(at) : textAt
    if (textEnd > end) throw new DamagedRecord('body', 'a text of a session is cut short')
    texts.push(value.toString('utf8', textAt, textEnd))
    at = textEnd
  }
  const [host, path, nonce, provider] = texts
  if (host === undefined || path === undefined || nonce === undefined || provider === undefined || at !== end) {
    throw new DamagedRecord('body', 'a session of odd length')
  }
  return { host, pid: value.readUInt32LE(bodyAt), path, nonce, provider, openedNs: value.readBigInt64LE(bodyAt + 4) }
}

/** What a slot was answered last (R29, R30). */
export interface ReplyRecord {
  readonly seq: bigint
  /** 0, or a Linux errno: then `reply` is empty. */
  readonly errno: number
  /** The answer as the protocol encodes it. */
  readonly reply: Uint8Array
}

const kindReply = 0x72
const replyVersion = 1

export function encodeReply(record: ReplyRecord): Buffer {
  const value = frame(kindReply, replyVersion, 10 + record.reply.length)
  value.writeBigUInt64LE(record.seq, bodyAt)
  value.writeUInt16LE(record.errno, bodyAt + 8)
  value.set(record.reply, bodyAt + 10)
  return seal(value)
}

/** @throws DamagedRecord */
export function decodeReply(record: Uint8Array): ReplyRecord {
  const end = unseal(record, kindReply, replyVersion)
  if (end < bodyAt + 10) throw new DamagedRecord('body', 'a reply is cut short')
  const value = Buffer.from(record.buffer, record.byteOffset, end)
  return {
    seq: value.readBigUInt64LE(bodyAt),
    errno: value.readUInt16LE(bodyAt + 8),
    reply: record.subarray(bodyAt + 10, end),
  }
}
