import { closeSync, openSync, readFileSync, renameSync, rmSync, writeSync } from 'node:fs'
import type { Negotiated } from '../protocol/negotiate.ts'
import { HandleTable } from './handle-table.ts'
import { HeldLocks } from './held-locks.ts'

/** A record: u32 kind, u32 and two u64 as the kind says. */
const recordSize = 24
const kinds = { negotiated: 1, opened: 2, released: 3, locked: 4 } as const

/** The file is written anew when it has so many records, and far more than there is to say. */
const compactAt = 8192

/**
 * What a driver must know that takes over a mount from one that died: what was negotiated, what is open, and through
 * which handles something may be locked. Kept in a
 * log that each change is appended to before the kernel hears of it. It needs to outlive the process, not the machine:
 * a mount does not do that either. So it is never synced, and best kept on tmpfs.
 */
export class DriverState {
  readonly handles = new HandleTable()
  readonly locks = new HeldLocks()
  /** Handles that a record says of that something may be locked through them. */
  readonly #locked = new Set<bigint>()
  readonly #path: string
  /** undefined: the mount has ended, and nobody takes it over. */
  #fd: number | undefined
  #records = 0
  #negotiated: Negotiated | undefined

  /** `resend`: take over what the last driver left; otherwise begin anew, whatever is there. */
  static open(path: string, { resend }: { resend: boolean }): DriverState {
    if (!resend) rmSync(path, { force: true })
    return new DriverState(path)
  }

  private constructor(path: string) {
    this.#path = path
    this.#fd = openSync(path, 'a+', 0o600)
    this.#load(readFileSync(path))
    for (const { fh, ino } of this.handles) if (this.#locked.has(fh)) this.locks.inherit(ino, fh)
    this.#compact()
  }

  get negotiated(): Negotiated | undefined {
    return this.#negotiated
  }

  negotiate(negotiated: Negotiated): void {
    this.#negotiated = negotiated
    this.#append(negotiatedRecord(negotiated))
  }

  /** For the router: may a removed inode still be in use here? */
  isOpen(ino: bigint): boolean {
    return this.handles.isOpen(ino)
  }

  opened(fh: bigint, ino: bigint): void {
    if (this.handles.add(fh, ino)) this.#append(record(kinds.opened, { b: fh, c: ino }))
  }

  /** Whatever was locked through the handle is free. */
  released(fh: bigint): void {
    this.#locked.delete(fh)
    const ino = this.handles.remove(fh)
    if (ino === undefined) return
    this.locks.released(ino, fh)
    this.#append(record(kinds.released, { b: fh }))
  }

  /** Something is about to be locked through the handle. */
  locked(fh: bigint, ino: bigint): void {
    if (this.#locked.has(fh)) return
    this.#locked.add(fh)
    this.#append(record(kinds.locked, { b: fh, c: ino }))
  }

  /** Requests may end after it: what they say is known here, and written nowhere. */
  close(): void {
    if (this.#fd !== undefined) closeSync(this.#fd)
    this.#fd = undefined
  }

  /** Total: what is not a whole record of a known kind is passed over. */
  #load(bytes: Buffer): void {
    for (let at = 0; at + recordSize <= bytes.length; at += recordSize) {
      const [a, b, c] = [bytes.readUInt32LE(at + 4), bytes.readBigUInt64LE(at + 8), bytes.readBigUInt64LE(at + 16)]
      switch (bytes.readUInt32LE(at)) {
        case kinds.negotiated:
          this.#negotiated = { minor: a, flags: b, maxReadahead: Number(BigInt.asUintN(32, c)) }
          break
        case kinds.opened:
          this.handles.add(b, c)
          break
        case kinds.released:
          this.handles.remove(b)
          this.#locked.delete(b)
          break
        case kinds.locked:
          this.#locked.add(b)
          break
        default:
          break
      }
    }
  }

  #append(bytes: Buffer): void {
    if (this.#fd === undefined) return
    writeSync(this.#fd, bytes)
    this.#records++
    if (this.#records > compactAt && this.#records > 4 * this.handles.size) this.#compact()
  }

  /** The present state in a new file, which then takes the old one's name. */
  #compact(): void {
    const records = this.#negotiated === undefined ? [] : [negotiatedRecord(this.#negotiated)]
    for (const { fh, ino } of this.handles) {
      records.push(record(kinds.opened, { b: fh, c: ino }))
      if (this.#locked.has(fh)) records.push(record(kinds.locked, { b: fh, c: ino }))
    }
    const fresh = `${this.#path}.new`
    rmSync(fresh, { force: true })
    const fd = openSync(fresh, 'a', 0o600)
    if (records.length > 0) writeSync(fd, Buffer.concat(records))
    renameSync(fresh, this.#path)
    if (this.#fd !== undefined) closeSync(this.#fd)
    this.#fd = fd
    this.#records = records.length
  }
}

function record(kind: number, { a = 0, b = 0n, c = 0n }: { a?: number; b?: bigint; c?: bigint }): Buffer {
  const bytes = Buffer.allocUnsafe(recordSize)
  bytes.writeUInt32LE(kind, 0)
  bytes.writeUInt32LE(a, 4)
  bytes.writeBigUInt64LE(b, 8)
  bytes.writeBigUInt64LE(c, 16)
  return bytes
}

function negotiatedRecord({ minor, flags, maxReadahead }: Negotiated): Buffer {
  return record(kinds.negotiated, { a: minor, b: flags, c: BigInt(maxReadahead) })
}
