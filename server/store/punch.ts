import { spawnSync } from 'node:child_process'

/** Less is written over with zeros: a program takes as long to start as so many bytes to write. */
export const punchBytesMin = 8 << 20

let isThere = true

/**
 * Gives the room of [offset, offset + length) of a file back to the disk; it reads as zeros then. Node has no
 * fallocate(2), so that util-linux's program does it.
 *
 * @returns false: nothing happened, since the file system can't, or there is no such program
 */
export function punch(path: string, offset: number, length: number): boolean {
  if (!isThere) return false
  const args = ['--punch-hole', '--offset', String(offset), '--length', String(length), path]
  const { status, error } = spawnSync('fallocate', args, { stdio: 'ignore' })
  if (error !== undefined) isThere = false
  return status === 0
}
