import type { Epoch, Incarnation, NodeId } from '../proto/ids.ts'
import type { Self } from './ports.ts'
import type { VolumeRecord } from './record.ts'

/** The only changes there are to a volume's record. Each says what the next one is; the directory says whether it is. */

/** `self` is primary of a new epoch. The old primary leaves the set, and nobody else (S22). */
export function takenOver(record: VolumeRecord, self: Self, epoch: Epoch): VolumeRecord {
  const leaving = record.primary === undefined || record.primary === self.node ? [] : [record.primary]
  const next = record.inSync.includes(self.node) ? without(record, leaving) : startedAlone(record, self.node)
  return { ...next, epoch, primary: self.node, incarnations: { ...next.incarnations, [self.node]: self.incarnation } }
}

/** Takes members out (R10: the record first, then acknowledgements without them). */
export function shrunk(record: VolumeRecord, leaving: readonly NodeId[]): VolumeRecord {
  return { ...without(record, leaving), epoch: (record.epoch + 1) as Epoch }
}

/** Puts a member in whose acknowledgements have been counted for some time already (R10). */
export function grown(record: VolumeRecord, node: NodeId, incarnation: Incarnation): VolumeRecord {
  const inSync = [...record.inSync.filter((other) => other !== node), node]
  const eligible = inSync.length >= record.minInSync ? [] : record.eligible.filter((other) => other !== node)
  return { ...record, inSync, eligible, incarnations: { ...record.incarnations, [node]: incarnation } }
}

/** An in-sync member has started again: a lease may be given to its new process only when the record names it (S20). */
export function renamed(record: VolumeRecord, node: NodeId, incarnation: Incarnation): VolumeRecord {
  return { ...record, incarnations: { ...record.incarnations, [node]: incarnation } }
}

/** Things may commit without those who had left a set that was too small (R11): they are not to lead any more before any does. */
export function settled(record: VolumeRecord): VolumeRecord {
  return { ...record, eligible: [] }
}

/** `to`, which is in sync, is primary of a new epoch; the set stays as it is. */
export function handedOver(record: VolumeRecord, to: NodeId): VolumeRecord {
  return { ...record, epoch: (record.epoch + 1) as Epoch, primary: to }
}

/**
 * Nothing commits in a set smaller than `minInSync`, so who leaves such a set lacks nothing and may take over (R11).
 * As soon as things commit again, it does lack something.
 */
function without(record: VolumeRecord, leaving: readonly NodeId[]): VolumeRecord {
  const inSync = record.inSync.filter((node) => !leaving.includes(node))
  const eligible = inSync.length >= record.minInSync ? [] : [...new Set([...record.eligible, ...leaving])]
  return { ...record, inSync, eligible }
}

function startedAlone(record: VolumeRecord, node: NodeId): VolumeRecord {
  const others = [...record.inSync, ...record.eligible].filter((other) => other !== node)
  return { ...record, inSync: [node], eligible: [...new Set(others)] }
}
