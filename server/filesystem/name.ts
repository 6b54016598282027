import { FsError } from '../../proto/errno.ts'

/** Bytes of a name, at most (NAME_MAX). */
export const nameBytesMax = 255

const dot = 0x2e
const slash = 0x2f

export const isDot = (name: Uint8Array): boolean => name.length === 1 && name[0] === dot
export const isDotDot = (name: Uint8Array): boolean => name.length === 2 && name[0] === dot && name[1] === dot

/**
 * Names are bytes, any but NUL and `/`. `.` and `..` pass: what they mean depends on the operation.
 *
 * @throws FsError ENOENT (empty), ENAMETOOLONG, EINVAL
 */
export function checkName(name: Uint8Array): void {
  if (name.length === 0) throw new FsError('ENOENT', 'a name is empty')
  if (name.length > nameBytesMax) {
    throw new FsError('ENAMETOOLONG', `a name has at most ${nameBytesMax} bytes`, { length: name.length })
  }
  if (name.includes(0) || name.includes(slash)) throw new FsError('EINVAL', 'a name contains a NUL or a slash')
}
