import { closeSync, ftruncateSync, openSync, unlinkSync } from 'node:fs'
import { join } from 'node:path'
import { codeOf } from './file-io.ts'

/** Bytes of a file, at most, on every member: ext4's limit with blocks of 4 KiB. */
export const blobBytesMax = 2 ** 44 - 4096

/** Stands in a store's folder for a moment; for good, if we died just then. */
export const probeName = 'longest'

/**
 * A file that is as long as a volume allows must find its place in `dir`: a member that learns in the middle of a change
 * that it does not would stop, and so would all others like it. Tried with a file of holes; on a disk so full that it
 * can't be made, nothing is said.
 *
 * @throws Error, in a sentence for the user
 */
export function demandLongBlobs(dir: string): void {
  const path = join(dir, probeName)
  try {
    const fd = openSync(path, 'w', 0o600)
    try {
      ftruncateSync(fd, blobBytesMax)
    } finally {
      closeSync(fd)
      unlinkSync(path)
    }
  } catch (error) {
    const code = codeOf(error)
    if (code === 'ENOSPC' || code === 'EDQUOT') return
    if (code !== 'EFBIG') throw error
    throw new Error(
      `${dir} is on a file system that cannot hold a file of 16 TiB, or files are limited for this process (ulimit -f), ` +
        `so that this member could not keep what the others can. It was not started. Put the store on a file system ` +
        `with longer files (ext4 with blocks of 4 KiB, xfs, btrfs), or lift the limit.`,
      { cause: error },
    )
  }
}
