import type { Epoch, Incarnation, NodeId } from '../proto/ids.ts'

/** What a volume's side without the directory does (S23). */
export type OnPartition = 'stop' | 'read' | 'continue'

/** Where the tree has a volume. It stays there for ever. */
export interface Attached {
  /** Of the volume in this tree, from 1: it stands in the upper bits of its inode numbers (proto/volume-number.ts). */
  readonly number: number
  readonly volume: string
  /** From the root of the tree, as it was when it was attached. */
  readonly at: string
  /** The directory that has its place, as mounts number inodes. */
  readonly parent: bigint
  /** Of the place in it. */
  readonly name: string
}

/**
 * A volume's configuration: the one thing that decides who is primary and whose acknowledgement counts (R9).
 * It lives in the service directory and is changed by compare-and-swap only.
 */
export interface VolumeRecord {
  readonly epoch: Epoch
  readonly primary: NodeId | undefined
  /** Everybody whose acknowledgement a commit needs, the primary included. */
  readonly inSync: readonly NodeId[]
  /** Members dropped below `minInSync`, who therefore lack nothing that is committed and may take over (R11). */
  readonly eligible: readonly NodeId[]
  /**
   * Who is to be a mirror. One that was taken out stays in the set until the primary lets it go: nobody else knows that the
   * others have everything.
   */
  readonly members: readonly NodeId[]
  /** Members that an operator wants out of the way: they lead only when nobody else can, and no client reads there. */
  readonly drained: readonly NodeId[]
  /** The process each in-sync member is; a mirror gets no lease before its own stands here (S17, S20). */
  readonly incarnations: Readonly<Record<string, Incarnation>>
  readonly minInSync: number
  readonly onPartition: OnPartition
  /** Of the volume at the root of the tree: the others in it. Nothing of replication depends on it. */
  readonly attached?: readonly Attached[]
  /** Who wrote this version, so that a writer whose answer was lost finds out whether it won (R9). */
  readonly changedBy: string
}

/** Leads only when nobody else can, and lets no client read there. */
export function isDrained(record: VolumeRecord, node: NodeId): boolean {
  return record.drained.includes(node) || !record.members.includes(node)
}

/** A record as the directory holds it. `version` grows with every change; a swap names the version it replaces. */
export interface Versioned {
  readonly version: number
  readonly record: VolumeRecord
}

/** A volume that nobody has served yet: no primary; the members named start with nothing and so are in sync. */
export function newRecord(members: readonly NodeId[], minInSync = 1, onPartition: OnPartition = 'read'): VolumeRecord {
  return {
    epoch: 0 as Epoch,
    primary: undefined,
    inSync: members,
    eligible: [],
    members,
    drained: [],
    incarnations: {},
    minInSync,
    onPartition,
    changedBy: 'creation',
  }
}
