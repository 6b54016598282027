import { FsError } from '../../proto/errno.ts'
import { routeOf } from '../../proto/route.ts'
import type { FileCall, FileClient } from './file-client.ts'

const accessMode = 3 // O_ACCMODE

/** Changes of what a session has, and of no file: locks are taken on a read-only file system like on any other. */
const ofSessions: ReadonlySet<FileCall['$case']> = new Set([
  'lock',
  'unlock',
  'releaseLocks',
  'releaseHolds',
  'takeHold',
  'takeNumbers',
])

const changes = (call: FileCall): boolean =>
  (routeOf(call) === 'change' && !ofSessions.has(call.$case)) ||
  (call.$case === 'open' && (call.value.flags & accessMode) !== 0)

/**
 * The same files, of which nothing can be changed: EROFS. The kernel says so before it asks us, for as long as its mount
 * stays read-only.
 */
export const readOnlyClient = (client: FileClient): FileClient => ({
  call: (call, caller, how) =>
    changes(call)
      ? Promise.reject(new FsError('EROFS', 'mounted read-only', { operation: call.$case }))
      : client.call(call, caller, how),
  answered: (unique) => client.answered?.(unique),
})
