import { closeSync, ftruncateSync, openSync, readSync, writeSync } from 'node:fs'

/** Which call has a slot, or had it last. */
export interface SlotRecord {
  readonly unique: bigint
  readonly step: number
  readonly session: bigint
  readonly seq: bigint
  /** The last driver process that was asked for this call again; 0: none. */
  readonly askedAgainBy: number
}

/** What the drivers before this one left. */
export interface SlotFileHead {
  /** 0: there was no session yet. */
  readonly session: bigint
  /** How many driver processes have used the file. */
  readonly generation: number
}

const magic = 0x42594e534c4f5431n // 'BYNSLOT1'
const headBytes = 32
const recordBytes = 40

/**
 * Remembers, beyond the life of a driver, under which slot and seq each of the kernel's requests went out, so that a
 * driver that is asked again asks the cluster again, and does not do it twice (S26). It belongs to one connection of the
 * kernel (whose numbers begin anew with each) and needs to survive the process only: a file in memory (tmpfs) will do.
 * Anything in it that is not ours is taken for nothing.
 */
export class SlotFile {
  readonly head: SlotFileHead
  /** By slot; undefined: never used. */
  readonly records: readonly (SlotRecord | undefined)[]
  readonly #fd: number
  readonly #record = Buffer.alloc(recordBytes)

  constructor(path: string, slots: number) {
    this.#fd = openSync(path, 'a+', 0o600)
    closeSync(this.#fd)
    this.#fd = openSync(path, 'r+')
    const content = Buffer.alloc(headBytes + slots * recordBytes)
    const length = readSync(this.#fd, content, 0, content.length, 0)
    const known = length >= headBytes && content.readBigUInt64LE(0) === magic
    if (!known) {
      content.fill(0)
      ftruncateSync(this.#fd, 0)
    }
    this.head = { session: content.readBigUInt64LE(8), generation: content.readUInt32LE(16) + 1 }
    this.records = Array.from({ length: slots }, (_, slot) => recordAt(content, headBytes + slot * recordBytes))
    this.setSession(this.head.session)
  }

  setSession(session: bigint): void {
    const head = Buffer.alloc(headBytes)
    head.writeBigUInt64LE(magic, 0)
    head.writeBigUInt64LE(session, 8)
    head.writeUInt32LE(this.head.generation, 16)
    writeSync(this.#fd, head, 0, headBytes, 0)
  }

  /** Written before the call goes out. */
  put(slot: number, record: SlotRecord): void {
    const bytes = this.#record
    bytes.writeBigUInt64LE(record.unique, 0)
    bytes.writeUInt32LE(record.step, 8)
    bytes.writeUInt32LE(record.askedAgainBy, 12)
    bytes.writeBigUInt64LE(record.session, 16)
    bytes.writeBigUInt64LE(record.seq, 24)
    writeSync(this.#fd, bytes, 0, recordBytes, headBytes + slot * recordBytes)
  }

  close(): void {
    closeSync(this.#fd)
  }
}

function recordAt(content: Buffer, at: number): SlotRecord | undefined {
  const seq = content.readBigUInt64LE(at + 24)
  if (seq === 0n) return undefined
  return {
    unique: content.readBigUInt64LE(at),
    step: content.readUInt32LE(at + 8),
    askedAgainBy: content.readUInt32LE(at + 12),
    session: content.readBigUInt64LE(at + 16),
    seq,
  }
}
