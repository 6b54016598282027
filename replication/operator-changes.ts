import type { NodeId } from '../proto/ids.ts'
import { volumeNumberMax } from '../proto/volume-number.ts'
import type { Attached, OnPartition, VolumeRecord } from './record.ts'

/**
 * What an operator may change of a record, by compare-and-swap like everybody: none of it makes an epoch, and none takes
 * the primary's place. The primary finds the change in the record, and acts on it as on its own.
 */
export type OperatorChange =
  | { readonly kind: 'changed'; readonly record: VolumeRecord }
  /** Why not: a clause for a person. */
  | { readonly kind: 'refused'; readonly reason: string }

/** It has nothing, and comes into the set like one that was away. */
export function mirrorAdded(record: VolumeRecord, node: NodeId): OperatorChange {
  if (record.members.includes(node)) return refused(`${node} is a mirror of it already`)
  return changed({ ...record, members: [...record.members, node] })
}

/**
 * It leads no more, and leaves the set, as soon as others can do without it. That is for a living primary to say: if it has
 * lost something with the power of its host, this one may be all there is.
 */
export function mirrorRemoved(record: VolumeRecord, node: NodeId): OperatorChange {
  const { minInSync } = record
  if (!record.members.includes(node)) return refused(`${node} is no mirror of it`)
  const members = record.members.filter((other) => other !== node)
  if (members.length < minInSync)
    return refused(`${members.length} would be left, and ${minInSync} are wanted (min-in-sync)`)
  if (!record.inSync.some((other) => members.includes(other))) return refused('no other mirror is in sync')
  return changed({ ...record, members, drained: record.drained.filter((other) => other !== node) })
}

/** Below it nothing commits. */
export function minInSyncSet(record: VolumeRecord, minInSync: number): OperatorChange {
  const { members } = record
  if (!Number.isSafeInteger(minInSync) || minInSync < 1) return refused('min-in-sync is 1 or more')
  if (minInSync > members.length)
    return refused(`min-in-sync of ${minInSync} is more than its ${members.length} mirrors`)
  return changed({ ...record, minInSync })
}

export function onPartitionSet(record: VolumeRecord, onPartition: OnPartition): OperatorChange {
  return changed({ ...record, onPartition })
}

/** The record is that of the volume at the root of the tree. A volume keeps its place, and its number. */
export function volumeAttached(record: VolumeRecord, attaching: Omit<Attached, 'number'>): OperatorChange {
  const { attached = [] } = record
  const present = attached.find(({ volume }) => volume === attaching.volume)
  if (present !== undefined) return refused(`it has volume ${present.volume} at ${present.at} already`)
  const there = attached.find(({ name, parent }) => parent === attaching.parent && name === attaching.name)
  if (there !== undefined) return refused(`it has volume ${there.volume} at ${there.at}`)
  const number = 1 + Math.max(0, ...attached.map((one) => one.number))
  if (number > volumeNumberMax) return refused(`it has ${volumeNumberMax} volumes, and cannot have more`)
  return changed({ ...record, attached: [...attached, { ...attaching, number }] })
}

/** A drained member goes on as a mirror, but leads only when nobody else can, and lets no client read from it. */
export function drainSet(record: VolumeRecord, node: NodeId, drain: 'begin' | 'end'): OperatorChange {
  if (!record.members.includes(node)) return refused(`${node} is no mirror of it`)
  const others = record.drained.filter((other) => other !== node)
  return changed({ ...record, drained: drain === 'begin' ? [...others, node] : others })
}

const changed = (record: VolumeRecord): OperatorChange => ({ kind: 'changed', record })
const refused = (reason: string): OperatorChange => ({ kind: 'refused', reason })
