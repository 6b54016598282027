import { inodeInTree, rootIno, volumeOf } from '../../proto/volume-number.ts'
import { resentBit } from '../protocol/request.ts'

/**
 * A handle is derived from the number of the request that opened it, so that an OPEN which is sent again after the
 * driver died gets the same one: 56 bits of the number (it is even, and counts up from the mount), 8 of open(2)'s flags.
 */
const flagBits = 8n
const accessMode = 3 // O_ACCMODE
/** Changes through it are answered when they are on the disks. */
const durableBit = 1n << 2n
const dsync = 0o10000 // O_DSYNC of Linux; O_SYNC has its bit too
/** Reads through the kernel's pages, which a lease covers. */
const cachedBit = 1n << 7n

export function handleOf(unique: bigint, flags: number): bigint {
  const number = (unique & ~resentBit) >> 1n
  const durable = (flags & dsync) === 0 ? 0n : durableBit
  return BigInt.asUintN(64, (number << flagBits) | durable | BigInt(flags & accessMode))
}

export function opensForWriting(fh: bigint): boolean {
  return (Number(fh & 0xffn) & accessMode) !== 0
}

/** O_SYNC and O_DSYNC: fcntl(2) can't change them, so that they are what they were at the open. */
export const isDurableHandle = (fh: bigint): boolean => (fh & durableBit) !== 0n

export const cachedHandle = (fh: bigint): bigint => fh | cachedBit
export const isCachedHandle = (fh: bigint): boolean => (fh & cachedBit) !== 0n

/** How many handles of an inode write, and how many fill pages. */
interface Modes {
  writing: number
  cached: number
}

interface Handle {
  readonly ino: bigint
  /** Cookie behind the last name of the directory, as it was when it was last listed to its end. */
  listedTo: bigint | undefined
}

/** Open files and directories: the kernel's handles, and what is open by inode. */
export class HandleTable {
  readonly #handles = new Map<bigint, Handle>()
  /** By inode: handles, and opens that are being asked for. invariant: never 0. */
  readonly #uses = new Map<bigint, number>()
  /** By inode. invariant: never both 0. */
  readonly #modes = new Map<bigint, Modes>()

  /** For each file being made, the greatest inode number of its volume that was known when that began: its own is greater. */
  readonly #making: bigint[] = []
  /** By volume. */
  readonly #greatest = new Map<number, bigint>()

  get size(): number {
    return this.#handles.size
  }

  *[Symbol.iterator](): Generator<{ fh: bigint; ino: bigint }> {
    for (const [fh, { ino }] of this.#handles) yield { fh, ino }
  }

  isOpen(ino: bigint): boolean {
    return this.#uses.has(ino) || this.#making.some((known) => known < ino && volumeOf(known) === volumeOf(ino))
  }

  /**
   * A file is being made in `parent` and opened in one: which, only the answer says. Until `made`, any inode that it may be counts
   * as open, so that a file without a name is not taken away before the answer is here.
   */
  making(parent: bigint): bigint {
    const known = this.#greatest.get(volumeOf(parent)) ?? inodeInTree(volumeOf(parent), rootIno)
    this.#making.push(known)
    return known
  }

  /** `known`: what `making` gave. */
  made(known: bigint): void {
    this.#making.splice(this.#making.indexOf(known), 1)
  }

  /** Looks at all that are open. */
  handlesOf(ino: bigint): bigint[] {
    const found: bigint[] = []
    for (const [fh, handle] of this.#handles) if (handle.ino === ino) found.push(fh)
    return found
  }

  isOpenForWriting(ino: bigint): boolean {
    return (this.#modes.get(ino)?.writing ?? 0) > 0
  }

  isOpenCached(ino: bigint): boolean {
    return (this.#modes.get(ino)?.cached ?? 0) > 0
  }

  /** An open of `ino` is on its way: until `unuse` it counts as open, so that it is not taken away in between. */
  use(ino: bigint): void {
    if (ino > (this.#greatest.get(volumeOf(ino)) ?? 0n)) this.#greatest.set(volumeOf(ino), ino)
    this.#uses.set(ino, (this.#uses.get(ino) ?? 0) + 1)
  }

  unuse(ino: bigint): void {
    const uses = this.#uses.get(ino) ?? 0
    if (uses <= 1) this.#uses.delete(ino)
    else this.#uses.set(ino, uses - 1)
  }

  /** @returns false: it was there already */
  add(fh: bigint, ino: bigint): boolean {
    if (this.#handles.has(fh)) return false
    this.#handles.set(fh, { ino, listedTo: undefined })
    this.use(ino)
    this.#countMode(fh, ino, 1)
    return true
  }

  /** @returns the inode that it was of; undefined: it was not there */
  remove(fh: bigint): bigint | undefined {
    const handle = this.#handles.get(fh)
    if (handle === undefined) return undefined
    this.#handles.delete(fh)
    this.unuse(handle.ino)
    this.#countMode(fh, handle.ino, -1)
    return handle.ino
  }

  /** The directory was listed to its end, which is at `cookie`. */
  listed(fh: bigint, cookie: bigint): void {
    const handle = this.#handles.get(fh)
    if (handle !== undefined) handle.listedTo = cookie
  }

  isListedTo(fh: bigint, cookie: bigint): boolean {
    return this.#handles.get(fh)?.listedTo === cookie
  }

  #countMode(fh: bigint, ino: bigint, by: 1 | -1): void {
    const mode = opensForWriting(fh) ? 'writing' : isCachedHandle(fh) ? 'cached' : undefined
    if (mode === undefined) return
    const modes = this.#modes.get(ino) ?? { writing: 0, cached: 0 }
    modes[mode] += by
    if (modes.writing === 0 && modes.cached === 0) this.#modes.delete(ino)
    else this.#modes.set(ino, modes)
  }
}
