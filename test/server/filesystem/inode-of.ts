import type { Inode } from '../../../server/store/records.ts'

/** An empty file, to begin from. */
export const inode: Inode = {
  mode: 0o100644,
  uid: 0,
  gid: 0,
  nlink: 1,
  size: 0,
  atimeNs: 1n,
  mtimeNs: 2n,
  ctimeNs: 3n,
  btimeNs: 4n,
  version: 1,
  rdev: 0,
  flags: 0,
  holes: 0,
  blob: 0n,
  parent: 0n,
  entries: 0,
  target: new Uint8Array(0),
}
