import type { Setattr } from '../../proto/generated/file-service.ts'
import { type Node, no } from './model-node.ts'

/** What is immutable or append-only keeps its size, owner, mode and times; only root makes it so, or not so. */
export function mayFlags(
  node: Node,
  { mode, uid, gid, size, atime, mtime, flags }: Setattr,
  { owns, root }: { readonly owns: boolean; readonly root: boolean },
): void {
  const times = [atime, mtime].filter((time) => time !== undefined)
  const changes = [mode, uid, gid, size].some((field) => field !== undefined) || times.some(({ now }) => !now)
  if (node.flags & 0x30 && changes) no('EPERM')
  if (node.flags & 0x10 && times.length > 0) no('EPERM')
  if (flags === undefined) return
  if (node.type !== 'dir' && node.type !== 'file') no('ENOTTY')
  if (!owns) no('EPERM')
  if (flags & ~0xf0) no('EOPNOTSUPP')
  if ((flags ^ node.flags) & 0x30 && !root) no('EPERM')
}
