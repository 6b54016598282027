import { errnos, FsError } from '../../proto/errno.ts'
import type { Log } from '../log.ts'
import type { ReplyBody } from '../protocol/reply.ts'

/** The one place where an error becomes an errno for the kernel. What is no FsError is a bug: EIO, and a line in the log. */
export function replyForError(error: unknown, about: { op: string; unique: bigint; log: Log }): ReplyBody {
  if (error instanceof FsError) return { kind: 'error', errno: errnos[error.errno] }
  const stack = error instanceof Error ? error.stack : String(error)
  about.log.error('request.failed', { op: about.op, unique: about.unique, stack })
  return { kind: 'error', errno: errnos.EIO }
}
