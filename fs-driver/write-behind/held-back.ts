import { type Errno, FsError } from '../../proto/errno.ts'
import type { Caller } from '../../proto/generated/file-service.ts'
import type { Coherence } from '../cache/coherence.ts'
import type { Changing } from '../cache/lease-cache.ts'
import type { Log } from '../log.ts'
import type { FileClient } from '../router/file-client.ts'
import { type ExtentFile, type ExtentHead, extentBytesMax, extentGroupsMax } from './extent-file.ts'
import { HostNumbers } from './host-numbers.ts'
import { isOutOfMemory } from './out-of-memory.ts'
import { ownCalls } from './own-calls.ts'

export interface HeldBackParts {
  readonly client: () => FileClient
  readonly coherence: Coherence
  readonly file: ExtentFile
  readonly nowMs: () => number
  /** It can't be written any more. */
  readonly onFailed: (ino: bigint, errno: Errno) => void
  readonly log: Log
}

/** One write that has been answered, or is about to be. */
export interface HeldWrite {
  readonly ino: bigint
  readonly hold: bigint
  readonly offset: bigint
  readonly data: Uint8Array
  readonly killPrivileges: boolean
  readonly caller: Caller
  /** The kernel's number of the request. */
  readonly unique: bigint
}

/** Nothing is held back for longer, but by what can't be sent. */
const ageMs = 100
/**
 * Extents of one file. Then a write goes through, after all of them: who writes faster than servers take it waits now and
 * then for so much, and nobody else finds all places taken.
 */
const extentsMax = 16
/** Extents of one file that are sent at once. */
const sendingMax = 4

interface Extent {
  readonly place: number
  head: ExtentHead
  readonly beganMs: number
  /** Which of all writes was the first in it. */
  readonly firstWrite: number
  state: 'open' | 'closed' | 'sending'
}

/** What is held back of one file. */
interface Dirty {
  readonly ino: bigint
  /** Oldest first; none but the last is open. */
  readonly extents: Extent[]
  /** Under way since the first of them: nothing about the file is kept by anybody here. */
  readonly change: Changing | undefined
  readonly invalidated: readonly bigint[]
}

/**
 * Writes that have been answered and not been sent, in the order in which they came. They stand in a file that outlives
 * this process. Writes that continue each other become one.
 */
export class HeldBack {
  readonly #parts: HeldBackParts
  readonly #dirty = new Map<bigint, Dirty>()
  readonly #waiting: { readonly isOver: () => boolean; readonly resolve: () => void }[] = []
  /** The last WRITE in each extent that an earlier driver left: it may not have answered it. */
  readonly #inherited = new Set<bigint>()
  #writes = 0
  readonly #numbers: HostNumbers

  constructor(parts: HeldBackParts) {
    this.#parts = parts
    this.#numbers = new HostNumbers(parts.file.left.at(-1)?.head.number)
    for (const { place, head } of parts.file.left) {
      const dirty = this.#dirty.get(head.ino) ?? this.#begin(head.ino)
      dirty.extents.push({ place, head, beganMs: Number.NEGATIVE_INFINITY, firstWrite: 0, state: 'closed' })
      this.#inherited.add(head.unique)
    }
  }

  get isEmpty(): boolean {
    return this.#dirty.size === 0
  }

  /** Writes held back so far. */
  get writes(): number {
    return this.#writes
  }

  /** What an earlier driver has left, to be sent under the holds that it had. */
  *left(): Generator<ExtentHead> {
    for (const { extents } of this.#dirty.values()) for (const { head } of extents) yield head
  }

  isDirty(ino: bigint): boolean {
    return this.#dirty.has(ino)
  }

  /** Something was held back by the time of that write that is not known to have been written. */
  isOwed(ino: bigint, write: number): boolean {
    return this.#dirty.get(ino)?.extents.some(({ firstWrite }) => firstWrite <= write) === true
  }

  /** A request that is sent again was held back by an earlier driver. */
  hasInherited(unique: bigint): boolean {
    return this.#inherited.has(unique)
  }

  /** @returns false: there is no room, or the kernel may have what the write makes old */
  add(write: HeldWrite): boolean {
    const known = this.#dirty.get(write.ino)
    const joined = known === undefined ? undefined : joinable(known.extents.at(-1), write)
    if (joined === undefined && (this.#parts.file.isFull || (known?.extents.length ?? 0) >= extentsMax)) return false
    const dirty = known ?? this.#beginUnseen(write.ino)
    if (dirty === undefined) return false
    this.#writes++
    const extent = joined ?? this.#open(dirty, write)
    if (!this.#put(extent, write)) return false
    if (extent.head.length >= extentBytesMax) this.#close(dirty, extent)
    return true
  }

  /** Resolves when all that is held back by now has been written, or has failed. */
  sent(inos: Iterable<bigint> | 'all'): Promise<void> {
    const waited: { readonly dirty: Dirty; readonly last: Extent }[] = []
    for (const ino of inos === 'all' ? [...this.#dirty.keys()] : inos) {
      const dirty = this.#dirty.get(ino)
      const last = dirty?.extents.at(-1)
      if (dirty === undefined || last === undefined) continue
      waited.push({ dirty, last })
      this.#close(dirty, last)
    }
    const isOver = (): boolean =>
      waited.every(({ dirty, last }) => dirty.extents.every(({ head }) => head.number > last.head.number))
    if (isOver()) return Promise.resolve()
    return new Promise((resolve) => this.#waiting.push({ isOver, resolve }))
  }

  /** Sends what is old enough. */
  onTick(): void {
    const before = this.#parts.nowMs() - ageMs
    for (const dirty of this.#dirty.values()) {
      const last = dirty.extents.at(-1)
      if (last !== undefined && last.beganMs <= before) this.#close(dirty, last)
    }
    if (this.isEmpty) this.#parts.file.shrink()
  }

  #begin(ino: bigint): Dirty {
    const call = {
      $case: 'write',
      value: { ino, offset: 0n, data: nothing, append: false, killPrivileges: false },
    } as const
    const { change, invalidated } = this.#parts.coherence.begin(call)
    const dirty = { ino, extents: [], change, invalidated }
    this.#dirty.set(ino, dirty)
    return dirty
  }

  /** The same, if neither this driver nor the kernel can answer anything old from now on. */
  #beginUnseen(ino: bigint): Dirty | undefined {
    const dirty = this.#begin(ino)
    if (dirty.invalidated.includes(ino)) return dirty
    this.#end(dirty)
    return undefined
  }

  #open(dirty: Dirty, { ino, hold, offset, killPrivileges, caller, unique }: HeldWrite): Extent {
    const before = dirty.extents.at(-1)
    const place = this.#parts.file.claim()
    if (place === undefined) throw new Error('no place for what is held back')
    const number = this.#numbers.next()
    const head = { number, ino, hold, offset, length: 0, caller, killPrivileges, writtenNs: 0n, unique }
    const extent: Extent = { place, head, beganMs: this.#parts.nowMs(), firstWrite: this.#writes, state: 'open' }
    dirty.extents.push(extent)
    if (before !== undefined) this.#close(dirty, before)
    return extent
  }

  /** @returns false: there is no memory for it. What it would have written over is written anew by whoever writes it then. */
  #put(extent: Extent, { offset, data, unique }: HeldWrite): boolean {
    const at = Number(offset - extent.head.offset)
    const length = Math.max(extent.head.length, at + data.length)
    try {
      this.#parts.file.writeData(extent.place, at, data)
    } catch (error) {
      if (!isOutOfMemory(error)) throw error
      return false
    }
    extent.head = { ...extent.head, length, writtenNs: process.hrtime.bigint(), unique }
    this.#parts.file.put(extent)
    return true
  }

  #close(dirty: Dirty, extent: Extent): void {
    if (extent.state === 'open') extent.state = 'closed'
    this.#pump(dirty)
  }

  /** Sends what may be sent: in order, and nothing beside what it overlaps with. */
  #pump(dirty: Dirty): void {
    let sending = 0
    for (const [index, extent] of dirty.extents.entries()) {
      if (extent.state === 'open' || sending >= sendingMax) return
      sending++
      if (extent.state === 'sending') continue
      if (dirty.extents.slice(0, index).some((earlier) => overlap(earlier.head, extent.head))) return
      extent.state = 'sending'
      void this.#send(dirty, extent)
    }
  }

  async #send(dirty: Dirty, extent: Extent): Promise<void> {
    const { client, coherence, file } = this.#parts
    const { caller, hold, ino, killPrivileges, length, number, offset, writtenNs } = extent.head
    if (length === 0) return this.#over(dirty, extent) // there was no memory for its first write
    const ageNs = process.hrtime.bigint() - writtenNs
    const value = { ino, offset, data: file.readData(extent), append: false, killPrivileges, hold, ageNs }
    const call = { $case: 'write', value } as const
    const unique = ownCalls.write(number)
    try {
      await client().call(call, caller, {
        unique,
        step: 0,
        patient: true,
        urgent: true,
        invalidated: dirty.invalidated,
        onOutcome: (outcome, leased) => {
          this.#remove(dirty, extent)
          const change = dirty.extents.length === 0 ? dirty.change : undefined
          if (dirty.extents.length === 0) this.#dirty.delete(ino)
          coherence.heard(call, outcome, { leased, caller, change })
        },
      })
    } catch (error) {
      this.#failed(extent.head, error)
    }
    this.#over(dirty, extent)
    client().answered?.(unique)
  }

  #over(dirty: Dirty, extent: Extent): void {
    if (this.#remove(dirty, extent) && dirty.extents.length === 0) this.#end(dirty)
    this.#parts.file.free(extent.place)
    this.#pump(dirty)
    this.#wake()
  }

  #failed({ ino, length, offset }: ExtentHead, error: unknown): void {
    if (!(error instanceof FsError)) throw error
    if (error.errno === 'ESTALE') return // it has been removed since
    const about = { ino: String(ino), offset: String(offset), length, errno: error.errno }
    this.#parts.log.error('writes.lost', about)
    this.#parts.onFailed(ino, error.errno)
  }

  /** @returns whether it was there */
  #remove(dirty: Dirty, extent: Extent): boolean {
    const place = dirty.extents.indexOf(extent)
    if (place !== -1) dirty.extents.splice(place, 1)
    return place !== -1
  }

  #end(dirty: Dirty): void {
    if (this.#dirty.get(dirty.ino) === dirty) this.#dirty.delete(dirty.ino)
    if (dirty.change !== undefined) this.#parts.coherence.abandon(dirty.change)
  }

  #wake(): void {
    for (const waiting of [...this.#waiting]) {
      if (!waiting.isOver()) continue
      this.#waiting.splice(this.#waiting.indexOf(waiting), 1)
      waiting.resolve()
    }
  }
}

const nothing = Buffer.alloc(0)

function overlap(a: ExtentHead, b: ExtentHead): boolean {
  return a.offset < b.offset + BigInt(b.length) && b.offset < a.offset + BigInt(a.length)
}

/** The extent, if the write goes on where it ends, or into it, from the same caller. */
function joinable(
  extent: Extent | undefined,
  { caller, hold, killPrivileges, offset, data }: HeldWrite,
): Extent | undefined {
  if (extent?.state !== 'open') return undefined
  const { head } = extent
  const same = head.hold === hold && head.killPrivileges === killPrivileges && isSame(head.caller, caller)
  const at = Number(offset - head.offset)
  return same && at >= 0 && at <= head.length && at + data.length <= extentBytesMax ? extent : undefined
}

const isSame = (a: Caller, b: Caller): boolean =>
  a.uid === b.uid &&
  a.gid === b.gid &&
  a.groups.length === b.groups.length &&
  a.groups.every((gid, i) => gid === b.groups[i])

/** May it stand in the file at all? */
export const fitsExtent = ({ data, caller }: Pick<HeldWrite, 'data' | 'caller'>): boolean =>
  data.length > 0 && data.length <= extentBytesMax && caller.groups.length <= extentGroupsMax
