import type { VolumeRecord } from '../replication/record.ts'

/** The volume that every cluster has: the root of the tree. */
export const volumeName = 'main'

/** Where the tree has a volume, by the record of its root; undefined: nowhere. */
export function placeOf(volume: string, root: Pick<VolumeRecord, 'attached'> | undefined): string | undefined {
  return volume === volumeName ? '/' : root?.attached?.find((one) => one.volume === volume)?.at
}
