import type { Caller, Statfs } from '../../proto/generated/file-service.ts'
import { inodeCounter } from '../store/keys.ts'
import { decodeCounter } from '../store/records.ts'
import { nameBytesMax } from './name.ts'
import type { Outcome } from './outcome.ts'
import type { View } from './view.ts'

const blockBytes = 4096
/** An inode costs metadata; so many bytes free let it be made. */
const bytesPerInode = 512

/** Says how many inodes there are; the shell, which knows the disk, answers with `space`. */
export function statfs(view: View, _caller: Caller, _op: Statfs): Outcome {
  const value = view.get(inodeCounter)
  const inodes = value === undefined ? 0 : decodeCounter(value).used
  return { reply: space({ freeBytes: 0, totalBytes: 0 }, { inodes }), effects: [], inodes }
}

/** The answer to a statfs: of the disk, what is free for the volume. */
export function space(
  disk: { readonly freeBytes: number; readonly totalBytes: number },
  counts: { readonly inodes: number },
): Outcome['reply'] {
  const free = BigInt(Math.floor(Math.max(disk.freeBytes, 0) / blockBytes))
  const filesFree = BigInt(Math.floor(Math.max(disk.freeBytes, 0) / bytesPerInode))
  return {
    $case: 'space',
    value: {
      blockSize: BigInt(blockBytes),
      blocks: BigInt(Math.floor(Math.max(disk.totalBytes, 0) / blockBytes)),
      free,
      available: free,
      files: BigInt(counts.inodes) + filesFree,
      filesFree,
      nameMax: nameBytesMax,
    },
  }
}
