import type { LockRange } from '../../proto/generated/file-service.ts'
import { no } from './model-node.ts'

/** Of each file so many bytes are told apart; one more stands for all the others. */
export const bytesMax = 12
/** The last byte of a lock that goes on to the end, as in off_t. */
export const lastByte = 2n ** 63n - 1n

/** What is on one byte: that it came with the same lock is seen by `when`. */
interface Held {
  readonly exclusive: boolean
  readonly handle: bigint
  readonly pid: number
  readonly when: number
}

/** One who can have locks: a process or an open file, of one session. */
interface Owner {
  readonly session: bigint
  readonly owner: bigint
  readonly flock: boolean
  readonly bytes: (Held | undefined)[]
}

export interface Stretch extends Held, Omit<Owner, 'bytes'> {
  readonly start: bigint
  readonly end: bigint
}

/** Who asks, and for which bytes. */
export interface Wanted extends LockRange {
  readonly session: bigint
}

/** The locks on one inode, byte by byte, as fcntl(2) and flock(2) describe them. */
export class ModelLocks {
  #owners: Owner[] = []
  #clock = 0

  /** The stretches of others that stand in the way. */
  against(wanted: Wanted): Stretch[] {
    const [from, to] = bytesOf(wanted)
    return this.stretches().filter(
      (one) =>
        one.flock === wanted.flock &&
        !(one.session === wanted.session && one.owner === wanted.owner) &&
        (one.exclusive || wanted.exclusive) &&
        bytesOf(one)[0] <= to &&
        from <= bytesOf(one)[1],
    )
  }

  take(wanted: Wanted, { handle, pid }: { readonly handle: bigint; readonly pid: number }): void {
    const [from, to] = bytesOf(wanted)
    const { bytes } = this.#owner(wanted)
    const { exclusive } = wanted
    const held: Held = { exclusive, handle, pid, when: ++this.#clock }
    const alike = (at: number) => bytes[at]?.exclusive === exclusive && bytes[at]?.handle === handle
    let [first, last] = [from, to]
    while (alike(first - 1)) first--
    while (alike(last + 1)) last++
    bytes.fill(held, first, last + 1)
  }

  free(wanted: Wanted): void {
    const [from, to] = bytesOf(wanted)
    this.#owner(wanted).bytes.fill(undefined, from, to + 1)
  }

  /** What was taken through an open file. */
  freeHandle(session: bigint, handle: bigint): void {
    for (const owner of this.#owners) {
      if (owner.session !== session) continue
      for (const [at, held] of owner.bytes.entries()) if (held?.handle === handle) owner.bytes[at] = undefined
    }
  }

  freeSession(session: bigint): void {
    this.#owners = this.#owners.filter((owner) => owner.session !== session)
  }

  /** By their first bytes; those that begin at the same by when they were taken. */
  stretches(): Stretch[] {
    const found = this.#owners.flatMap(({ session, owner, flock, bytes }) => {
      const starts = bytes.flatMap((held, at) => (held !== undefined && held.when !== bytes[at - 1]?.when ? [at] : []))
      return starts.map((start): Stretch => {
        const held = bytes[start] ?? no('EIO')
        let end = start
        while (bytes[end + 1]?.when === held.when) end++
        return { ...held, session, owner, flock, start: BigInt(start), end: end === bytesMax ? lastByte : BigInt(end) }
      })
    })
    return found.sort((a, b) => Number(a.start - b.start) || a.when - b.when)
  }

  #owner({ session, owner, flock }: Wanted): Owner {
    const known = this.#owners.find((one) => one.session === session && one.owner === owner && one.flock === flock)
    if (known !== undefined) return known
    const fresh: Owner = { session, owner, flock, bytes: Array.from({ length: bytesMax + 1 }, () => undefined) }
    this.#owners.push(fresh)
    return fresh
  }
}

const byteOf = (at: bigint): number => Math.min(Number(at), bytesMax)
const bytesOf = ({ start, end }: Pick<LockRange, 'start' | 'end'>): [number, number] => [byteOf(start), byteOf(end)]
