import { errnos } from '../../proto/errno.ts'
import { cachedHandle } from '../driver/handle-table.ts'
import type { ReplyBody } from '../protocol/reply.ts'
import { openFlags } from '../protocol/reply.ts'
import type { Request } from '../protocol/request.ts'
import type { Coherence } from './coherence.ts'
import type { Held } from './lease-cache.ts'

const accessMode = 3 // O_ACCMODE
const direct = 0o40000 // O_DIRECT of Linux

/** The answer to the kernel with what `held` lets it keep of it. To be written at once. */
export function told(request: Request, body: ReplyBody, held: Held, coherence: Coherence): ReplyBody {
  if (held.size === 0) return body
  const { nodeid } = request.header
  if (body.kind === 'entry' || body.kind === 'created') {
    const attributesMs = coherence.attributesMs(body.attributes.ino, held)
    const nameMs = request.op === 'TMPFILE' ? 0 : coherence.nameMs(nodeid, held)
    return { ...body, valid: { nameMs, attributesMs } }
  }
  if (body.kind === 'attributes' || body.kind === 'statx') {
    return { ...body, validMs: coherence.attributesMs(body.attributes.ino, held) }
  }
  if (body.kind === 'error' && body.errno === errnos.ENOENT && request.op === 'LOOKUP') {
    const nameMs = coherence.nameMs(nodeid, held)
    return nameMs > 0 ? { kind: 'absent', nameMs } : body
  }
  if (body.kind !== 'opened' || request.op !== 'OPEN') return body
  if ((request.args.flags & (accessMode | direct)) !== 0) return body
  const pages = coherence.pagesFor(nodeid, held)
  if (pages === 'none') return body
  const buffered = body.flags & ~(openFlags.DIRECT_IO | openFlags.PARALLEL_DIRECT_WRITES)
  const flags = pages === 'keep' ? buffered | openFlags.KEEP_CACHE : buffered
  return { ...body, fh: cachedHandle(body.fh), flags }
}

const aclNames = ['system.posix_acl_access', 'system.posix_acl_default'].map((name) => Buffer.from(name))

/** What the kernel hears then it keeps. */
export const asksForAcl = (request: Request): boolean =>
  request.op === 'GETXATTR' && aclNames.some((name) => name.equals(request.args.name))
