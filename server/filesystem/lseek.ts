import { FsError } from '../../proto/errno.ts'
import type { Caller, Lseek } from '../../proto/generated/file-service.ts'
import { holeBlockBytes, loadHoles } from './holes.ts'
import { loadInode } from './inode.ts'
import { isRegular } from './mode.ts'
import type { Outcome } from './outcome.ts'
import type { View } from './view.ts'

/** Source: include/uapi/linux/fs.h. Every other whence is the kernel's own matter. */
export const seekWhence = { data: 3, hole: 4 } as const

/**
 * lseek(2) to data or to a hole; the end of the file is one. Inline contents are data.
 *
 * @throws FsError ESTALE, EINVAL (whence; not a regular file), ENXIO (beyond the end; no data behind)
 */
export function lseek(view: View, _caller: Caller, op: Lseek): Outcome {
  const inode = loadInode(view, op.ino)
  if (op.whence !== seekWhence.data && op.whence !== seekWhence.hole) throw new FsError('EINVAL', 'unknown whence')
  if (!isRegular(inode)) throw new FsError('EINVAL', 'it has no contents here', { ino: op.ino })
  if (op.offset >= BigInt(inode.size)) throw new FsError('ENXIO', 'there is nothing behind the end', { ino: op.ino })
  const offset = Number(op.offset)
  const run = loadHoles(view, op.ino, inode).find(([, to]) => to * holeBlockBytes > offset)
  const [holeAt, holeEnd] = run === undefined ? [inode.size, inode.size] : run.map((block) => block * holeBlockBytes)
  if (op.whence === seekWhence.hole) return place(Math.min(Math.max(offset, holeAt ?? 0), inode.size))
  if (offset < (holeAt ?? 0)) return place(offset)
  if ((holeEnd ?? 0) >= inode.size) throw new FsError('ENXIO', 'there is no data behind', { ino: op.ino })
  return place(holeEnd ?? 0)
}

const place = (offset: number): Outcome => ({
  reply: { $case: 'place', value: { offset: BigInt(offset) } },
  effects: [],
})
