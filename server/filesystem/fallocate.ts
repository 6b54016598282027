import { FsError } from '../../proto/errno.ts'
import type { Caller, Fallocate } from '../../proto/generated/file-service.ts'
import type { Inode } from '../store/records.ts'
import { sizeBytesMax, truncateContents, zeroContents } from './contents.ts'
import { Draft } from './draft.ts'
import { demandMutable, isAppendOnly } from './flags.ts'
import { blocksOf, holeBlockBytes, loadHoles } from './holes.ts'
import { changeInode, done, loadInode } from './inode.ts'
import { isDirectory, isRegular } from './mode.ts'
import type { At, Outcome } from './outcome.ts'
import { modeAfterWrite } from './privileges.ts'
import type { View } from './view.ts'

/** Source: include/uapi/linux/falloc.h. */
export const fallocateModes = { keepSize: 1, punchHole: 2, zeroRange: 16 } as const

const known: ReadonlySet<number> = new Set([
  0,
  fallocateModes.keepSize,
  fallocateModes.punchHole | fallocateModes.keepSize,
  fallocateModes.zeroRange,
  fallocateModes.zeroRange | fallocateModes.keepSize,
])

/** May it need room that the volume does not have yet? */
export const allocates = (mode: number): boolean => (mode & fallocateModes.punchHole) === 0

/**
 * fallocate(2). What is to be allocated must find room now, or it is ENOSPC; the room is not kept from others, so that a
 * later write may still be refused. Rights were checked when it was opened. Source: fs/open.c, vfs_fallocate.
 *
 * @throws FsError ESTALE, EISDIR, ENODEV, EINVAL (length 0), EOPNOTSUPP (mode), EPERM (flags), EFBIG, ENOSPC
 */
export function fallocate(view: View, caller: Caller, op: Fallocate, at: At): Outcome {
  const inode = loadInode(view, op.ino)
  if (op.length === 0n) throw new FsError('EINVAL', 'nothing is to be allocated')
  if (!known.has(op.mode)) throw new FsError('EOPNOTSUPP', 'unknown mode', { mode: op.mode })
  if (isDirectory(inode)) throw new FsError('EISDIR', 'a directory has no room of its own', { ino: op.ino })
  if (!isRegular(inode)) throw new FsError('ENODEV', 'it has no contents here', { ino: op.ino })
  demandMutable(inode)
  if (isAppendOnly(inode) && (op.mode & ~fallocateModes.keepSize) !== 0) {
    throw new FsError('EPERM', 'it is append-only', { ino: op.ino })
  }
  if (op.offset + op.length > BigInt(sizeBytesMax)) throw new FsError('EFBIG', 'a file cannot be that long')
  const [offset, end] = [Number(op.offset), Number(op.offset + op.length)]
  if (allocates(op.mode)) demandRoom(view, op.ino, inode, { offset, end, at })

  const draft = new Draft(view)
  const mode = modeAfterWrite(draft, { ino: op.ino, inode }, caller, false)
  let now: Inode = { ...inode, mode, mtimeNs: at.nowNs, ctimeNs: at.nowNs }
  if ((op.mode & ~fallocateModes.keepSize) !== 0) now = { ...now, ...zeroContents(draft, op.ino, now, offset, end) }
  if ((op.mode & fallocateModes.keepSize) === 0 && end > inode.size) {
    now = { ...now, ...truncateContents(draft, op.ino, now, end) }
  }
  changeInode(draft, op.ino, inode, now)
  return { reply: done, effects: draft.effects() }
}

function demandRoom(
  view: View,
  ino: bigint,
  inode: Inode,
  { offset, end, at }: { readonly offset: number; readonly end: number; readonly at: At },
): void {
  if (at.freeBytes === undefined) return
  const [from, to] = [Math.floor(offset / holeBlockBytes), blocksOf(end)]
  let blocks = Math.max(0, to - Math.max(from, blocksOf(inode.size)))
  for (const hole of loadHoles(view, ino, inode)) {
    blocks += Math.max(0, Math.min(to, hole[1]) - Math.max(from, hole[0]))
  }
  if (blocks * holeBlockBytes > at.freeBytes) throw new FsError('ENOSPC', 'a member has too little space left')
}
