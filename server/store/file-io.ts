import { closeSync, fsyncSync, openSync, readSync, writeSync, writevSync } from 'node:fs'
import { open } from 'node:fs/promises'

/** Writes all of it: a write to a file may be short when a signal or a full disk comes in between. */
export function writeAll(fd: number, bytes: Uint8Array, at: number): void {
  let done = 0
  while (done < bytes.length) done += writeSync(fd, bytes, done, bytes.length - done, at + done)
}

/** Two buffers, one after the other, in one system call. */
export function writeBoth(fd: number, first: Uint8Array, second: Uint8Array, at: number): void {
  const done = writevSync(fd, [first, second], at)
  if (done < first.length) {
    writeAll(fd, first.subarray(done), at + done)
    writeAll(fd, second, at + first.length)
  } else if (done < first.length + second.length) {
    writeAll(fd, second.subarray(done - first.length), at + done)
  }
}

/** Reads up to `length` bytes; fewer at the end of the file. */
export function readAll(fd: number, length: number, at: number): Buffer {
  const buffer = Buffer.allocUnsafe(length)
  let done = 0
  while (done < length) {
    const count = readSync(fd, buffer, done, length - done, at + done)
    if (count === 0) break
    done += count
  }
  return done === length ? buffer : buffer.subarray(0, done)
}

/** The error code of a failed system call. */
export const codeOf = (error: unknown): string | undefined =>
  error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined

/** No room for this: the disk is full, or the file would be longer than the file system can hold. */
export const isFull = (error: unknown): boolean => codeOf(error) === 'EFBIG' || isOutOfSpace(error)

/** The disk is full, or a quota is used up, or that is the cause. */
export function isOutOfSpace(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  const code = codeOf(error)
  if (code === 'ENOSPC' || code === 'EDQUOT') return true
  // LevelDB passes on the system's words alone (strerror(3)).
  if (code === 'LEVEL_IO_ERROR' && /No space left on device|Disk quota exceeded/.test(error.message)) return true
  return isOutOfSpace(error.cause)
}

/** Names made and taken away in a directory are on the disk afterwards. */
export async function syncDirectory(path: string): Promise<void> {
  const handle = await open(path, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

export function syncDirectoryNow(path: string): void {
  const fd = openSync(path, 'r')
  try {
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
}

/** A change that must be made: when the disk is full and `makeRoom` says that it has made some, it is tried again. */
export function withRoom<T>(makeRoom: () => boolean, change: () => T): T {
  try {
    return change()
  } catch (error) {
    if (!isFull(error) || !makeRoom()) throw error
    return change()
  }
}
