import type { Caller, NotedRead, NoteReads } from '../../proto/generated/file-service.ts'
import { needsAtime } from '../../proto/relatime.ts'
import type { Effect } from '../store/effect.ts'
import { inodeKey } from '../store/keys.ts'
import { decodeInode, encodeInode, type Inode } from '../store/records.ts'
import { inodeFlags } from './flags.ts'
import { done } from './inode.ts'
import type { At, Outcome } from './outcome.ts'
import type { View } from './view.ts'

/**
 * Moves access times on, of what was read a moment ago somewhere; nothing else changes, neither ctime nor version. Those
 * that keep attributes are not told: they may show an access time that is older (S31). Refuses nothing: what is gone, or
 * whose access time is another by now, is passed over.
 */
export function noteReads(view: View, _caller: Caller, op: NoteReads, at: At): Outcome {
  const effects = new Map<bigint, Effect>()
  for (const read of op.reads) {
    const value = view.get(inodeKey(read.ino))
    if (value === undefined) continue
    const inode = decodeInode(value)
    const atimeNs = atimeAfter(inode, read, at.nowNs)
    if (atimeNs === undefined) continue
    effects.set(read.ino, {
      kind: 'put',
      key: inodeKey(read.ino),
      value: encodeInode({ ...inode, atimeNs }),
      quiet: true,
    })
  }
  return { reply: done, effects: [...effects.values()] }
}

/** Undefined: it stays. A host whose clock is ahead of ours reads nothing in the future. */
function atimeAfter(inode: Inode, read: NotedRead, nowNs: bigint): bigint | undefined {
  if ((inode.flags & inodeFlags.noAtime) !== 0) return undefined
  const atNs = read.atNs < nowNs ? read.atNs : nowNs
  const counts = read.wasNs === undefined ? atNs > inode.ctimeNs : read.wasNs === inode.atimeNs
  return counts && atNs > inode.atimeNs && needsAtime(inode, atNs) ? atNs : undefined
}
