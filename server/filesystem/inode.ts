import { FsError } from '../../proto/errno.ts'
import type { Attributes, Reply } from '../../proto/generated/file-service.ts'
import { inodeKey } from '../store/keys.ts'
import { decodeInode, encodeInode, type Inode, typeDirectory, typeRegular } from '../store/records.ts'
import type { Draft } from './draft.ts'
import { settableFlags } from './flags.ts'
import { typeOf } from './mode.ts'
import type { Outcome } from './outcome.ts'
import type { View } from './view.ts'

/** An inode as an operation has it in its hands. */
export interface Node {
  readonly ino: bigint
  readonly inode: Inode
}

/** @throws FsError ESTALE: there is no such inode, or it is gone for good */
export function loadInode(view: View, ino: bigint): Inode {
  const value = view.get(inodeKey(ino))
  if (value === undefined) throw new FsError('ESTALE', 'there is no such inode', { ino })
  return decodeInode(value)
}

/** Puts the inode with what changes in it, and gives what it is then. */
export function changeInode(draft: Draft, ino: bigint, inode: Inode, change: Partial<Inode>): Inode {
  const next = { ...inode, ...change, version: inode.version + 1 }
  draft.put(inodeKey(ino), encodeInode(next))
  return next
}

const directoryBytes = 4096n
const blockBytes = 4096

/** What stat(2) shows. A directory has a constant size; what a file occupies is its size without its holes. */
export function attributes(ino: bigint, inode: Inode): Attributes {
  const type = typeOf(inode)
  const size = type === typeDirectory ? directoryBytes : BigInt(inode.size)
  const blocks =
    type === typeDirectory ? 1 : type === typeRegular ? Math.ceil(inode.size / blockBytes) - inode.holes : 0
  return {
    ino,
    mode: inode.mode,
    nlink: inode.nlink,
    uid: inode.uid,
    gid: inode.gid,
    rdev: BigInt(inode.rdev),
    size,
    blocks: BigInt(blocks * (blockBytes / 512)),
    atimeNs: inode.atimeNs,
    mtimeNs: inode.mtimeNs,
    ctimeNs: inode.ctimeNs,
    btimeNs: inode.btimeNs,
    flags: inode.flags & settableFlags || undefined,
  }
}

type AnyReply = NonNullable<Reply['kind']>

export const entryReply = (ino: bigint, inode: Inode, hold?: bigint): AnyReply => ({
  $case: 'entry',
  value: { attributes: attributes(ino, inode), hold },
})

export const attributesReply = (ino: bigint, inode: Inode): AnyReply => ({
  $case: 'attributes',
  value: attributes(ino, inode),
})

/** Shares memory with `bytes`. */
export const dataReply = (bytes: Uint8Array): AnyReply => ({ $case: 'data', value: asBuffer(bytes) })

export const done: AnyReply = { $case: 'done', value: {} }

export function written(to: {
  readonly length: number
  readonly offset: bigint
  readonly size: number
  readonly hold?: bigint | undefined
  readonly effects: Outcome['effects']
}): Outcome {
  const { length, offset, size, hold, effects } = to
  return { reply: { $case: 'written', value: { length, offset, size: BigInt(size), hold } }, effects }
}

/** The same bytes, as the generated types want them. */
export const asBuffer = (bytes: Uint8Array): Buffer =>
  bytes instanceof Buffer ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
