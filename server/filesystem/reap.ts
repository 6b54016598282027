import type { Effect } from '../store/effect.ts'
import {
  contentsKey,
  holdKey,
  holesKey,
  inodeCounter,
  inodeKey,
  locksKey,
  orphanKey,
  xattrsKey,
} from '../store/keys.ts'
import { decodeCounter, decodeInode, encodeCounter } from '../store/records.ts'
import { Draft } from './draft.ts'
import type { View } from './view.ts'

/**
 * What removes orphans for good, with all that is theirs. Nobody has them open (S27): the caller has made sure. Numbers
 * that are no orphans' are passed over, so that asking twice does no harm.
 */
export function reap(view: View, inos: Iterable<bigint>): readonly Effect[] {
  const draft = new Draft(view)
  let reaped = 0
  for (const ino of inos) {
    const value = draft.get(inodeKey(ino))
    if (value === undefined || draft.get(orphanKey(ino)) === undefined) continue
    const { blob } = decodeInode(value)
    if (blob !== 0n) draft.blob({ kind: 'blob.delete', blob })
    draft.delete(orphanKey(ino))
    draft.delete(inodeKey(ino))
    for (const key of [contentsKey(ino), holdKey(ino), holesKey(ino), xattrsKey(ino), locksKey(ino)])
      if (draft.get(key) !== undefined) draft.delete(key)
    reaped++
  }
  const counter = draft.get(inodeCounter)
  if (reaped > 0 && counter !== undefined) {
    const { next, used } = decodeCounter(counter)
    draft.put(inodeCounter, encodeCounter({ next, used: used - reaped }))
  }
  return draft.effects()
}
