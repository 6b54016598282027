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
 * has changed since, is passed over.
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

/** Undefined: it stays. A read that was told a ctime came after that change, whatever the clocks of two hosts say. */
function atimeAfter(inode: Inode, read: NotedRead, nowNs: bigint): bigint | undefined {
  if ((inode.flags & inodeFlags.noAtime) !== 0) return undefined
  const readNs = nowNs - BigInt(read.agoMs) * 1_000_000n
  const isSinceChange = read.ctimeNs === undefined ? readNs > inode.ctimeNs : read.ctimeNs === inode.ctimeNs
  if (!isSinceChange) return undefined
  const atNs = readNs > inode.ctimeNs ? readNs : inode.ctimeNs + 1n
  return atNs > inode.atimeNs && needsAtime(inode, atNs) ? atNs : undefined
}
