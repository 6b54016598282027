import type { ModelAcl } from './model-acl.ts'

/** What the model says no with: the name of an errno. */
export class Refusal extends Error {}

export const no = (errno: string): never => {
  throw new Refusal(errno)
}

export type Type = 'file' | 'dir' | 'link' | 'fifo' | 'socket' | 'char' | 'block'
export const typeBits: Record<Type, number> = {
  fifo: 0o010000,
  char: 0o020000,
  dir: 0o040000,
  block: 0o060000,
  file: 0o100000,
  link: 0o120000,
  socket: 0o140000,
}

export interface Node {
  readonly ino: number
  readonly type: Type
  readonly rdev: number
  readonly btime: bigint
  perm: number
  uid: number
  gid: number
  atime: bigint
  mtime: bigint
  ctime: bigint
  bytes: Buffer
  target: string
  parent: Node | undefined
  readonly children: Map<string, Node>
  readonly xattrs: Map<string, string>
  /** In xattrs they have their names too; `acl` only if it says more than `perm`. */
  acl?: ModelAcl | undefined
  defaults?: ModelAcl | undefined
  removed: boolean
  /** What chattr set. */
  flags: number
  /** Numbers of blocks that were never written; none while all bytes are inline. */
  readonly holes: Set<number>
  isInline: boolean
  mayBeLinked: boolean
  /** Who may answer writes by himself, and under which number. */
  hold?: { readonly session: bigint; readonly number: bigint } | undefined
}

/** What stat calls nlink: a directory has its name, its own `.`, and the `..` of each directory in it. */
export function linksOf(node: Node, nodes: Iterable<Node>): number {
  if (node.type === 'dir') {
    return node.removed ? 0 : 2 + [...node.children.values()].filter(({ type }) => type === 'dir').length
  }
  return [...nodes].flatMap(({ children }) => [...children.values()]).filter((one) => one === node).length
}

/** A name as text. */
export function legal(name: Buffer): string {
  const text = name.toString('latin1')
  if (text === '') no('ENOENT')
  if (text.length > 255) no('ENAMETOOLONG')
  return text.includes('/') || text.includes('\0') ? no('EINVAL') : text
}
