import type { Epoch, Incarnation, NodeId } from '../proto/ids.ts'

/** What a volume's side without the directory does (S23). */
export type OnPartition = 'stop' | 'read' | 'continue'

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
  readonly members: readonly NodeId[]
  /** The process each in-sync member is; a mirror gets no lease before its own stands here (S17, S20). */
  readonly incarnations: Readonly<Record<string, Incarnation>>
  readonly minInSync: number
  readonly onPartition: OnPartition
  /** Who wrote this version, so that a writer whose answer was lost finds out whether it won (R9). */
  readonly changedBy: string
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
    incarnations: {},
    minInSync,
    onPartition,
    changedBy: 'creation',
  }
}
