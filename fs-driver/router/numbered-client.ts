import type { Hold, Recall } from '../../proto/generated/file-service.ts'
import { inodeInTree, inodeInVolume, volumeOf } from '../../proto/volume-number.ts'
import type { FileClient, Outcome } from './file-client.ts'
import type { HoldHolder } from './hold-holder.ts'
import type { LeaseHolder } from './lease-holder.ts'

type Change = (ino: bigint) => bigint

/** Fields of the protocol that are inodes: `first` of numbers, `source` of a copy. */
const fields: ReadonlySet<string> = new Set(['ino', 'inos', 'parent', 'newParent', 'source', 'newIno', 'first'])

/**
 * The files of a volume that is not the root of the tree: whoever calls has inodes as the mount numbers them, the servers
 * as the volume does.
 */
export function numberedClient(volume: number, client: FileClient): FileClient {
  const out: Change = (ino) => {
    if (ino !== 0n && volumeOf(ino) !== volume) throw new Error(`inode ${ino} is none of volume ${volume}`)
    return inodeInVolume(ino)
  }
  const back: Change = (ino) => inodeInTree(volume, ino)
  return {
    call: async (operation, caller, { invalidated, onOutcome, ...how }) => {
      const result = await client.call(changed(operation, out), caller, {
        ...how,
        ...(invalidated !== undefined && { invalidated: invalidated.map(out) }),
        ...(onOutcome !== undefined && {
          onOutcome: (outcome: Outcome, leased: readonly bigint[]) =>
            onOutcome(changed(outcome, back), leased.map(back)),
        }),
      })
      return changed(result, back)
    },
    answered: (unique) => client.answered?.(unique),
  }
}

/** What keeps its leases has inodes as the mount numbers them; the router tells it of the volume's. */
export function numberedLeases(volume: number, leases: LeaseHolder): LeaseHolder {
  return {
    onRecall: (recall: Recall) =>
      leases.onRecall({ ...recall, inos: recall.inos.map((ino) => inodeInTree(volume, ino)) }),
    onProlonged: (untilMs) => leases.onProlonged(untilMs),
    takeDropped: () => leases.takeDropped().map(inodeInVolume),
    onDroppedHeard: () => leases.onDroppedHeard(),
    onDetached: () => leases.onDetached(),
    onTick: () => leases.onTick(),
  }
}

export function numberedHolds(volume: number, holds: HoldHolder): HoldHolder {
  return {
    onRecallHold: (hold: Hold) => holds.onRecallHold({ ...hold, ino: inodeInTree(volume, hold.ino) }),
    onSessionEnded: () => holds.onSessionEnded(),
  }
}

/** The same with all inodes in it changed. What has none is not copied. */
function changed<T>(value: T, change: Change): T {
  return withInodes(value, change, false) as T
}

function withInodes(value: unknown, change: Change, isInode: boolean): unknown {
  if (typeof value === 'bigint') return isInode ? change(value) : value
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array) return value
  if (Array.isArray(value)) return value.map((one) => withInodes(one, change, isInode))
  return Object.fromEntries(Object.entries(value).map(([name, of]) => [name, withInodes(of, change, fields.has(name))]))
}
