import type { Fallocate } from '../../proto/generated/file-service.ts'
import { type Node, no } from './model-node.ts'

/** A blob once it is longer than a block, inline again once it is empty. What it grows by is a hole. */
export function resize(node: Node, size: number): void {
  const before = node.bytes.length
  node.bytes = Buffer.concat([node.bytes], size)
  node.isInline = size === 0 || (node.isInline && size <= 4096)
  for (const block of node.holes) if (block >= Math.ceil(size / 4096)) node.holes.delete(block)
  if (node.isInline) return
  for (let block = Math.ceil(before / 4096); block < Math.ceil(size / 4096); block++) node.holes.add(block)
}

/** fallocate(2), but for the times. */
export function allocate(node: Node, { offset, length, mode }: Fallocate): void {
  if (length === 0n) no('EINVAL')
  if (![0, 1, 3, 16, 17].includes(mode)) no('EOPNOTSUPP')
  if (node.type === 'dir') no('EISDIR')
  if (node.type !== 'file') no('ENODEV')
  if (node.flags & 0x10 || (node.flags & 0x20 && mode > 1)) no('EPERM')
  if (offset + length > 17592186040320n) no('EFBIG')
  const end = Number(offset + length)
  if (mode > 1) zero(node, Number(offset), end)
  if (!(mode & 1) && end > node.bytes.length) resize(node, end)
}

/** What there is of [from, end) becomes zeros; blocks of a blob that are wholly in it become holes. */
function zero(node: Node, from: number, end: number): void {
  const to = Math.min(end, node.bytes.length)
  if (from >= to) return
  node.bytes = Buffer.concat([node.bytes.subarray(0, from), Buffer.alloc(to - from), node.bytes.subarray(to)])
  if (node.isInline) return
  const last = to === node.bytes.length ? Math.ceil(to / 4096) : Math.floor(to / 4096)
  for (let block = Math.ceil(from / 4096); block < last; block++) node.holes.add(block)
}

/** Where data, or a hole, is next. */
export function seek(node: Node, offset: number, whence: number): number {
  if (node.type !== 'file' || whence < 3) no('EINVAL')
  const hole = whence === 4
  if (offset >= node.bytes.length) no('ENXIO')
  for (let at = offset; at < node.bytes.length; at = (Math.floor(at / 4096) + 1) * 4096) {
    if (node.holes.has(Math.floor(at / 4096)) === hole) return at
  }
  return hole ? node.bytes.length : no('ENXIO')
}
