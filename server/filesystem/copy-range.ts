import { FsError } from '../../proto/errno.ts'
import type { Caller, CopyRange, Read } from '../../proto/generated/file-service.ts'
import { loadInode, written } from './inode.ts'
import { isDirectory, isRegular } from './mode.ts'
import type { At, Outcome } from './outcome.ts'
import type { View } from './view.ts'
import { write } from './write.ts'

/** Bytes copied by one call, at most: they are in its entry (S12), which is to be no bigger than that of a write. */
export const copyBytesMax = 1 << 20

/** What the shell has to read, of committed state, before a copy can be decided. */
export const sourceOf = (op: CopyRange): Read => ({
  ino: op.source,
  offset: op.sourceOffset,
  length: Number(op.length < BigInt(copyBytesMax) ? op.length : BigInt(copyBytesMax)),
})

/**
 * copy_file_range(2): a write of `at.source`. Those bytes were committed at one moment between call and answer; as in
 * Linux, a copy is not atomic with other writes to its source. Rights were checked at the opens.
 *
 * @throws FsError ESTALE, EISDIR, EINVAL (not regular files; overlapping ranges of one file), and as `write`
 */
export function copyRange(view: View, caller: Caller, op: CopyRange, at: At): Outcome {
  for (const ino of [op.source, op.ino]) {
    const inode = loadInode(view, ino)
    if (isDirectory(inode)) throw new FsError('EISDIR', 'a directory is not copied', { ino })
    if (!isRegular(inode)) throw new FsError('EINVAL', 'it has no contents here', { ino })
  }
  const apart = op.offset + op.length <= op.sourceOffset || op.sourceOffset + op.length <= op.offset
  if (op.source === op.ino && !apart) throw new FsError('EINVAL', 'the ranges overlap', { ino: op.ino })
  const data = at.source
  if (data === undefined) throw new Error('a copy was decided before its source was read')
  const value = { ino: op.ino, offset: op.offset, data, append: false, killPrivileges: false }
  return data.length > 0
    ? write(view, caller, value, at)
    : written({ length: 0, offset: op.offset, size: 0, effects: [] })
}
