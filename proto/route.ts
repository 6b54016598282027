import type { Operation } from './generated/file-service.ts'

type FileCall = NonNullable<Operation['kind']>

/**
 * How an operation is answered.
 * - `read`: from committed state, by any provider that may read
 * - `change`: executed once, at the primary
 * - `primary`: asked of the primary, which changes nothing for it
 */
export type Route = 'read' | 'change' | 'primary'

const openTruncates = 0o1000 // O_TRUNC of Linux

const routes: Readonly<Record<FileCall['$case'], Route>> = {
  lookup: 'read',
  getattr: 'read',
  setattr: 'change',
  readlink: 'read',
  symlink: 'change',
  mknod: 'change',
  mkdir: 'change',
  unlink: 'change',
  rmdir: 'change',
  rename: 'change',
  link: 'change',
  open: 'read',
  create: 'change',
  read: 'read',
  write: 'change',
  fsync: 'primary',
  readdir: 'read',
  statfs: 'primary',
  access: 'read',
  getxattr: 'read',
  setxattr: 'change',
  listxattr: 'read',
  removexattr: 'change',
  lock: 'change',
  unlock: 'change',
  releaseLocks: 'change',
  getLock: 'read',
  awaitLock: 'primary',
  releaseHolds: 'change',
  awaitRelease: 'primary',
  takeHold: 'change',
  takeNumbers: 'change',
  batch: 'change',
  tmpfile: 'change',
  lseek: 'read',
  fallocate: 'change',
  copyRange: 'change',
  noteReads: 'change',
}

export function routeOf(call: FileCall): Route {
  if (call.$case === 'open' && (call.value.flags & openTruncates) !== 0) return 'change'
  return routes[call.$case]
}

const growing: ReadonlySet<FileCall['$case']> = new Set([
  'symlink',
  'mknod',
  'mkdir',
  'link',
  'create',
  'write',
  'setxattr',
  'tmpfile',
  'copyRange',
  'batch',
  'noteReads', // none is needed, and journals take room
])

const punchHole = 2 // FALLOC_FL_PUNCH_HOLE of Linux

/** Refused while the disk is nearly full; everything else must go on, so that space can be made. */
export const grows = (call: FileCall): boolean =>
  growing.has(call.$case) || (call.$case === 'fallocate' && (call.value.mode & punchHole) === 0)
