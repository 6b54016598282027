import { closeSync, ftruncateSync, openSync, readSync, rmSync, writeSync } from 'node:fs'
import type { Caller } from '../../proto/generated/file-service.ts'
import { heldBytesMax } from '../../proto/holds.ts'

/** A run of bytes of one file that was written here and has to be sent. */
export interface ExtentHead {
  /** Names the extent for ever: they are sent in the order of their numbers. */
  readonly number: bigint
  readonly ino: bigint
  readonly hold: bigint
  readonly offset: bigint
  readonly length: number
  /** Who wrote it, and as whom it is sent. */
  readonly caller: Caller
  readonly killPrivileges: boolean
  /** When it was last written to, by CLOCK_MONOTONIC. */
  readonly writtenNs: bigint
  /** The kernel's number of the last WRITE in it. */
  readonly unique: bigint
}

export interface PlacedExtent {
  readonly place: number
  readonly head: ExtentHead
}

/** Bytes of one extent. */
export const extentBytesMax = 1 << 20
/** A caller with more groups writes through. */
export const extentGroupsMax = 32

const places = heldBytesMax / extentBytesMax
const dataAt = 4096
const placeBytes = dataAt + extentBytesMax
const headBytes = 80 + 4 * extentGroupsMax
const magic = 0x42594e4558543031n // 'BYNEXT01'

/**
 * What was written, was answered, and has not been sent: it outlives the driver, in memory (tmpfs), so that the next one
 * sends it (S26). Places of one size, each with a head; a head is written after its data, by one write(2) within a page,
 * so that it is there or not. Anything in it that is not ours is taken for nothing.
 */
export class ExtentFile {
  /** What the driver before this one left, in the order of the numbers. */
  readonly left: readonly PlacedExtent[]
  readonly #fd: number
  readonly #free: number[] = []
  readonly #head = Buffer.alloc(headBytes)
  #touched = false

  /** `resend`: the last driver's, of the same connection; otherwise whatever is there is of another mount. */
  constructor(path: string, { resend }: { resend: boolean }) {
    if (!resend) rmSync(path, { force: true })
    closeSync(openSync(path, 'a', 0o600))
    this.#fd = openSync(path, 'r+')
    const left: PlacedExtent[] = []
    for (let place = places - 1; place >= 0; place--) {
      const head = this.#load(place)
      if (head === undefined) this.#free.push(place)
      else left.push({ place, head })
    }
    this.left = left.sort((a, b) => (a.head.number < b.head.number ? -1 : 1))
  }

  get isFull(): boolean {
    return this.#free.length === 0
  }

  /** undefined: all are taken. */
  claim(): number | undefined {
    return this.#free.pop()
  }

  writeData(place: number, at: number, data: Uint8Array): void {
    this.#touched = true
    for (let done = 0; done < data.length; ) {
      done += writeSync(this.#fd, data, done, data.length - done, place * placeBytes + dataAt + at + done)
    }
  }

  /** From now on the extent is there, with what was written before. */
  put({ place, head }: PlacedExtent): void {
    const bytes = this.#head.fill(0)
    const { groups, uid, gid, pid } = head.caller
    let at = 0
    for (const word of [magic, head.number, head.ino, head.hold, head.offset, head.writtenNs, head.unique]) {
      at = bytes.writeBigUInt64LE(word, at)
    }
    for (const word of [head.length, uid, gid, pid, head.killPrivileges ? 1 : 0, groups.length, ...groups]) {
      at = bytes.writeUInt32LE(word, at)
    }
    writeSync(this.#fd, bytes, 0, headBytes, place * placeBytes)
  }

  readData({ place, head }: PlacedExtent): Buffer {
    const data = Buffer.allocUnsafe(head.length)
    let done = 0
    while (done < head.length) {
      const read = readSync(this.#fd, data, done, head.length - done, place * placeBytes + dataAt + done)
      if (read === 0) throw new Error('what was held back is cut short')
      done += read
    }
    return data
  }

  /** It has been sent, or is given up. */
  free(place: number): void {
    writeSync(this.#fd, this.#head.fill(0), 0, headBytes, place * placeBytes)
    this.#free.push(place)
  }

  /** Gives the memory back, if nothing is held back. */
  shrink(): void {
    if (!this.#touched || this.#free.length < places) return
    ftruncateSync(this.#fd, 0)
    this.#touched = false
  }

  close(): void {
    closeSync(this.#fd)
  }

  #load(place: number): ExtentHead | undefined {
    const bytes = this.#head
    if (readSync(this.#fd, bytes, 0, headBytes, place * placeBytes) < headBytes) return undefined
    const word = (index: number): bigint => bytes.readBigUInt64LE(index * 8)
    const half = (index: number): number => bytes.readUInt32LE(56 + index * 4)
    const [length, groups] = [half(0), half(5)]
    if (word(0) !== magic || length === 0 || length > extentBytesMax || groups > extentGroupsMax) return undefined
    const caller = {
      uid: half(1),
      gid: half(2),
      pid: half(3),
      groups: Array.from({ length: groups }, (_, index) => half(6 + index)),
    }
    return {
      number: word(1),
      ino: word(2),
      hold: word(3),
      offset: word(4),
      writtenNs: word(5),
      unique: word(6),
      length,
      caller,
      killPrivileges: half(4) === 1,
    }
  }
}
