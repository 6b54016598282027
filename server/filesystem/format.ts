import { rootIno } from '../../proto/volume-number.ts'
import type { Effect } from '../store/effect.ts'
import { inodeCounter, inodeKey, sessionCounter } from '../store/keys.ts'
import { encodeCounter, encodeInode, typeDirectory } from '../store/records.ts'
import { modeOf } from './mode.ts'
import type { At } from './outcome.ts'

export interface Owner {
  readonly uid: number
  readonly gid: number
}

/** What makes an empty state a volume: the top of the tree, its owner's with mode 0755, and the counters. */
export function format(at: At, { uid, gid }: Owner = { uid: 0, gid: 0 }): readonly Effect[] {
  const root = {
    mode: modeOf(typeDirectory, 0o755),
    uid,
    gid,
    nlink: 2,
    size: 0,
    atimeNs: at.nowNs,
    mtimeNs: at.nowNs,
    ctimeNs: at.nowNs,
    btimeNs: at.nowNs,
    version: 1,
    rdev: 0,
    flags: 0,
    holes: 0,
    blob: 0n,
    parent: rootIno,
    entries: 0,
    target: new Uint8Array(0),
  }
  return [
    { kind: 'put', key: inodeKey(rootIno), value: encodeInode(root) },
    { kind: 'put', key: inodeCounter, value: encodeCounter({ next: rootIno + 1n, used: 1 }) },
    { kind: 'put', key: sessionCounter, value: encodeCounter({ next: 1n, used: 0 }) },
  ]
}
