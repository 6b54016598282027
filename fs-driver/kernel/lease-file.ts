import { closeSync, openSync, readSync, rmSync, writeSync } from 'node:fs'
import { volumeOf } from '../../proto/volume-number.ts'

/**
 * What the kernel may have of a mount's files by leases, for those who outlive the driver: the supervisor, which takes it
 * back when the driver has stopped, and the next driver. In memory (tmpfs), never synced.
 *
 * Head: u64 magic, u64 end of the leases (nanoseconds of CLOCK_MONOTONIC; 0: none). Then inodes with pages, a table with
 * holes (0). Then inodes with attributes: the last that were given, in a ring.
 */
const magic = 0x42594e4c45415331n // 'BYNLEAS1'
const headBytes = 16
const pagesMax = 65_536
const ringMax = 131_072
const ringAt = headBytes + pagesMax * 8
const allBytes = ringAt + ringMax * 8

/** See LeaseRecord. */
export type VolumeLeaseFile = Pick<LeaseFile, 'left' | 'setUntil' | 'addPages' | 'removePages' | 'gaveAttributes'>

/** The driver's side. */
export class LeaseFile {
  readonly left: { readonly pages: readonly bigint[]; readonly attributes: readonly bigint[] }
  readonly #fd: number
  readonly #slots = new Map<bigint, number>()
  readonly #free: number[] = []
  readonly #word = Buffer.alloc(8)
  #closed = false
  #used = 0
  #ring = 0
  /** By volume, those that have leases. */
  readonly #untils = new Map<number, number>()
  #first: number | undefined

  /** `resend`: what the last driver left is still in the kernel; otherwise whatever is there is of another mount. */
  constructor(path: string, { resend }: { resend: boolean }) {
    if (!resend) rmSync(path, { force: true })
    const left = readLeaseFile(path)
    this.left = { pages: left?.pages ?? [], attributes: left?.attributes ?? [] }
    closeSync(openSync(path, 'a', 0o600))
    this.#fd = openSync(path, 'r+')
    this.#put(0, magic)
    for (let slot = 0; slot < this.left.pages.length; slot++) this.#slots.set(this.left.pages[slot] ?? 0n, slot)
    this.#used = this.left.pages.length
    const table = Buffer.alloc(pagesMax * 8)
    for (const [ino, slot] of this.#slots) table.writeBigUInt64LE(ino, slot * 8)
    if (this.left.pages.length > 0) writeSync(this.#fd, table, 0, table.length, headBytes)
  }

  /** What one volume of the tree writes here. The head says when the first leases of any end. */
  of(volume: number): VolumeLeaseFile {
    const mine = (inos: readonly bigint[]): bigint[] => inos.filter((ino) => volumeOf(ino) === volume)
    return {
      left: { pages: mine(this.left.pages), attributes: mine(this.left.attributes) },
      setUntil: (untilMs) => {
        if (untilMs === undefined) this.#untils.delete(volume)
        else this.#untils.set(volume, untilMs)
        const first = this.#untils.size === 0 ? undefined : Math.min(...this.#untils.values())
        if (first === this.#first && first !== undefined) return // so it is said once, and not in other words
        this.#first = first
        this.setUntil(first)
      },
      addPages: (ino) => this.addPages(ino),
      removePages: (ino) => this.removePages(ino),
      gaveAttributes: (ino) => this.gaveAttributes(ino),
    }
  }

  /** `untilMs` by performance.now(); undefined: the kernel has nothing any more. */
  setUntil(untilMs: number | undefined): void {
    const inNs = untilMs === undefined ? 0n : BigInt(Math.round((untilMs - performance.now()) * 1e6))
    this.#put(8, untilMs === undefined ? 0n : process.hrtime.bigint() + inNs)
  }

  addPages(ino: bigint): void {
    if (this.#slots.has(ino)) return
    const slot = this.#free.pop() ?? this.#used++
    if (slot >= pagesMax) throw new Error('pages of too many files')
    this.#slots.set(ino, slot)
    this.#put(headBytes + slot * 8, ino)
  }

  removePages(ino: bigint): void {
    const slot = this.#slots.get(ino)
    if (slot === undefined) return
    this.#slots.delete(ino)
    this.#free.push(slot)
    this.#put(headBytes + slot * 8, 0n)
  }

  gaveAttributes(ino: bigint): void {
    this.#put(ringAt + this.#ring * 8, ino)
    this.#ring = (this.#ring + 1) % ringMax
  }

  /** The mount has ended. Sessions end later: what they say of leases until then counts for nobody. */
  close(): void {
    this.#closed = true
    closeSync(this.#fd)
  }

  #put(at: number, value: bigint): void {
    if (this.#closed) return // the number may be another file's by now
    this.#word.writeBigUInt64LE(value)
    writeSync(this.#fd, this.#word, 0, 8, at)
  }
}

export interface LeaseFileContent {
  /** By process.hrtime.bigint(); 0: there are none. */
  readonly untilNs: bigint
  readonly pages: readonly bigint[]
  readonly attributes: readonly bigint[]
}

/** undefined: there is none. Total: what is not there counts as nothing. */
export function readLeaseFile(path: string): LeaseFileContent | undefined {
  const content = Buffer.alloc(allBytes)
  if (!readInto(path, content)) return undefined
  const words = (from: number, to: number): bigint[] => {
    const found = new Set<bigint>()
    for (let at = from; at < to; at += 8) {
      const ino = content.readBigUInt64LE(at)
      if (ino !== 0n) found.add(ino)
    }
    return [...found]
  }
  return { untilNs: content.readBigUInt64LE(8), pages: words(headBytes, ringAt), attributes: words(ringAt, allBytes) }
}

/** Only when the leases end, by process.hrtime.bigint(); 0: there are none. */
export function readLeaseEnd(path: string): bigint {
  const head = Buffer.alloc(headBytes)
  return readInto(path, head) ? head.readBigUInt64LE(8) : 0n
}

function readInto(path: string, content: Buffer): boolean {
  let fd: number
  try {
    fd = openSync(path, 'r')
  } catch {
    return false // the driver has not made it yet
  }
  try {
    readSync(fd, content, 0, content.length, 0)
  } finally {
    closeSync(fd)
  }
  return content.readBigUInt64LE(0) === magic
}
