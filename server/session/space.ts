import type { NodeId } from '../../proto/ids.ts'
import type { Space } from '../../replication/ports.ts'
import type { ReplicaPort } from './ports.ts'

/**
 * Kept free on every in-sync member: growth ends with ENOSPC before any disk is full, so that deleting always works and
 * the journal has room (it needs some even to make room). An eighth of a small disk, and never less than what the store
 * itself keeps, twice.
 */
const reserveBytesMax = 64 << 20
const reserveBytesMin = 16 << 20

/** Of one member's disk. */
export const reserveOf = ({ totalBytes }: Pick<Space, 'totalBytes'>): number =>
  Math.max(Math.min(Math.floor(totalBytes / 8), reserveBytesMax), reserveBytesMin)

/** Two members on disks that are equally full must not send a change to and fro. */
const moreBytes = 4 << 20

/** The in-sync member with the most room, if that is clearly more than this primary's; one that has not said it may have. */
export function successorWithRoom(replica: Pick<ReplicaPort, 'primary' | 'status'>): NodeId | undefined {
  const own = replica.primary()
  const { members } = replica.status()
  const roomOf = (member: (typeof members)[number] | undefined): number => member?.space?.freeBytes ?? moreBytes
  const wanted = moreBytes + (members.find(({ node }) => node === own)?.space?.freeBytes ?? 0)
  return members
    .filter((member) => member.state === 'in-sync' && member.node !== own && roomOf(member) >= wanted)
    .toSorted((a, b) => roomOf(b) - roomOf(a))[0]?.node
}

/** What the volume may still take: the space of the smallest in-sync member, without the reserve. */
export class VolumeSpace {
  readonly #replica: Pick<ReplicaPort, 'status'>
  /** Unknown while somebody else is primary: what was known in an earlier reign says nothing about the next. */
  #space: Space | undefined

  constructor(replica: Pick<ReplicaPort, 'status'>) {
    this.#replica = replica
  }

  /** Only known, and only asked, at the primary. Called with each tick. */
  look(): void {
    const { members, role } = this.#replica.status()
    if (role !== 'primary') {
      this.#space = undefined
      return
    }
    let smallest: Space | undefined
    for (const { state, space } of members) {
      if (state !== 'in-sync' || space === undefined) continue
      const usable = { ...space, freeBytes: Math.max(space.freeBytes - reserveOf(space), 0) }
      if (smallest === undefined || usable.freeBytes < smallest.freeBytes) smallest = usable
    }
    if (smallest !== undefined) this.#space = smallest
  }

  get(): Space {
    if (this.#space === undefined) this.look() // a new primary is asked before its first tick
    return this.#space ?? { freeBytes: 0, totalBytes: 0 }
  }

  readonly freeBytes = (): number => this.get().freeBytes
}
