import type { HeadEffect } from '../store/body.ts'
import type { Effect } from '../store/effect.ts'
import { parseKey } from '../store/keys.ts'

/**
 * The inodes of which an entry changes something that clients keep: attributes, contents, xattrs, a directory's entries. A
 * blob has the number of its inode.
 */
export function touchedInos(touches: Iterable<Effect | HeadEffect>): ReadonlySet<bigint> {
  const inos = new Set<bigint>()
  for (const effect of touches) {
    const ino = inoOf(effect)
    if (ino !== undefined) inos.add(ino)
  }
  return inos
}

function inoOf(effect: Effect | HeadEffect): bigint | undefined {
  if (effect.kind !== 'put' && effect.kind !== 'delete') return effect.blob
  if (effect.kind === 'put' && effect.quiet === true) return undefined
  const parsed = parseKey(effect.key)
  switch (parsed?.kind) {
    case 'inode':
    case 'contents':
    case 'holes':
    case 'xattrs':
      return parsed.ino
    case 'dentries':
      return parsed.parent
    case 'hold': // given only with a change of the inode itself
    case 'locks': // nobody keeps them
    case 'orphan': // its inode says nlink 0
    case 'session':
    case 'place':
    case 'reply':
    case 'counter':
    case undefined:
      return undefined
  }
}
