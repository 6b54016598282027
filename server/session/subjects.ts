import { errnos } from '../../proto/errno.ts'
import type { FileCall } from './ports.ts'
import type { Done } from './positions.ts'

/** The inodes that an answer is about: with a lease on one, a client may keep all that the answer says of it. */
export function subjectsOf(call: FileCall, { errno, reply }: Pick<Done, 'errno' | 'reply'>): bigint[] {
  const named = namedBy(call)
  if (errno !== 0) return isAbsence(call, errno) ? named : []
  if (reply?.$case === 'entry') return [...named, ...inosOf([reply.value.attributes])]
  if (reply?.$case === 'listing') return [...named, ...inosOf(reply.value.entries.map((entry) => entry.attributes))]
  return named
}

const inosOf = (all: readonly ({ readonly ino: bigint } | undefined)[]): bigint[] =>
  all.flatMap((attributes) => (attributes === undefined ? [] : [attributes.ino]))

/** That there is no such name, or attribute, is something to know. */
function isAbsence(call: FileCall, errno: number): boolean {
  return (call.$case === 'lookup' && errno === errnos.ENOENT) || (call.$case === 'getxattr' && errno === errnos.ENODATA)
}

/** Those that the operation names by number. */
function namedBy(call: FileCall): bigint[] {
  const { value } = call
  if ('newParent' in value) return [value.parent, value.newParent]
  const named: bigint[] = []
  if ('parent' in value) named.push(value.parent)
  if ('ino' in value) named.push(value.ino)
  return named
}
