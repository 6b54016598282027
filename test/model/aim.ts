import type { LockRange } from '../../proto/generated/file-service.ts'
import type { ModelFilesystem } from './model-filesystem.ts'
import type { Node } from './model-node.ts'
import type { ModelOperation } from './tree-operation.ts'
import { isOfSession, type SessionOperation, type TreeOperation } from './tree-operation.ts'

/**
 * Numbers and names drawn blindly hardly ever meet: nearly every rename would say ENOENT. So most operations are aimed
 * at what is there by then, as the model knows it. What is aimed at follows from `pick` alone, so that a history means
 * the same when it is played again.
 */
export function aim(op: ModelOperation, pick: number, model: ModelFilesystem): ModelOperation {
  const nodes = [...model.nodes.values()]
  return isOfSession(op) ? aimOfSession(op, pick, nodes) : aimAtTree(op, pick, nodes)
}

function aimAtTree(op: TreeOperation, pick: number, nodes: readonly Node[]): TreeOperation {
  const dirs = nodes.filter(({ type }) => type === 'dir')
  const dir = dirs[pick % dirs.length]
  if (dir === undefined) return op
  const parent = BigInt(dir.ino)
  switch (op.$case) {
    case 'mkdir':
    case 'mknod':
    case 'symlink':
    case 'tmpfile':
      return { ...op, value: { ...op.value, parent } } as TreeOperation
    case 'create':
      return {
        $case: 'create',
        value: { ...op.value, parent, name: pick % 3 === 0 ? child(dir, pick, op.value.name) : op.value.name },
      }
    case 'lookup':
    case 'unlink':
    case 'rmdir': {
      const { place, name } = placeOf(dirs, pick, op.value.name, op.$case)
      return { $case: op.$case, value: { parent: BigInt(place.ino), name } }
    }
    case 'rename': {
      const { place, name } = placeOf(dirs, pick, op.value.name, 'rename')
      const target = dirs[(pick >> 4) % dirs.length] ?? dir
      const newName = pick % 2 === 0 ? child(target, pick >> 2, op.value.newName) : op.value.newName
      const from = { parent: BigInt(place.ino), name }
      return { $case: 'rename', value: { ...op.value, ...from, newParent: BigInt(target.ino), newName } }
    }
    case 'link':
      return { $case: 'link', value: { ...op.value, parent, ino: inoOf(nodes, pick >> 3, op.value.ino, 'link') } }
    case 'copyRange': {
      const [source, ino] = [
        inoOf(nodes, pick >> 3, op.value.source, 'read'),
        inoOf(nodes, pick, op.value.ino, 'write'),
      ]
      return { $case: 'copyRange', value: { ...op.value, source, ino } }
    }
    case 'getxattr':
    case 'removexattr': {
      const having = nodes.filter(({ xattrs }) => xattrs.size > 0)
      const node = pick % 4 === 0 ? undefined : having[pick % having.length]
      if (node === undefined)
        return { $case: op.$case, value: { ...op.value, ino: inoOf(nodes, pick, op.value.ino, op.$case) } }
      const name = [...node.xattrs.keys()][pick % node.xattrs.size] ?? ''
      return { $case: op.$case, value: { ino: BigInt(node.ino), name: Buffer.from(name, 'latin1') } }
    }
    case 'write': {
      const ino = inoOf(nodes, pick, op.value.ino, 'write')
      const { hold } = op.value
      const known = nodes.find((node) => BigInt(node.ino) === ino)?.hold?.number
      const stands = hold !== undefined && pick % 4 > 0 ? (known ?? hold) : hold
      return { $case: 'write', value: { ...op.value, ino, hold: stands } }
    }
    case 'statfs':
      return op
    case 'access':
    case 'fsync':
    case 'getattr':
    case 'listxattr':
    case 'open':
    case 'read':
    case 'readdir':
    case 'readlink':
    case 'setattr':
    case 'setxattr':
    case 'lseek':
    case 'fallocate':
      return { ...op, value: { ...op.value, ino: inoOf(nodes, pick, op.value.ino, op.$case) } } as TreeOperation
  }
}

/** Locks and holds meet on few inodes. */
function aimOfSession(op: SessionOperation, pick: number, nodes: readonly Node[]): SessionOperation {
  const files = nodes.filter(({ type }) => type === 'file')
  const file = pick % 4 > 0 ? files[0] : files[(pick >> 2) % files.length]
  if (file === undefined) return op
  const ino = BigInt(file.ino)
  switch (op.$case) {
    case 'lock':
    case 'unlock':
    case 'getLock':
    case 'awaitLock': {
      const { range } = op.value
      return {
        ...op,
        value: { ...op.value, range: range && ({ ...range, ino } satisfies LockRange) },
      } as SessionOperation
    }
    case 'releaseLocks':
      return { $case: op.$case, value: { ...op.value, ino } }
    case 'releaseHolds': {
      const [first] = op.value.holds
      return first === undefined ? op : { $case: op.$case, value: { holds: [...op.value.holds, { ...first, ino }] } }
    }
    case 'awaitRelease':
      return { $case: op.$case, value: { inos: [...op.value.inos, ino] } }
    case 'noteReads': {
      const node = nodes[(pick >> 3) % nodes.length] ?? file
      const others = op.value.reads.filter((read) => Number(read.ino) !== node.ino)
      const atNs = op.value.reads[0]?.atNs ?? node.mtime + 1n
      const wasNs = pick % 3 === 0 ? undefined : node.atime
      return { $case: op.$case, value: { reads: [...others, { ino: BigInt(node.ino), atNs, wasNs }] } }
    }
  }
}

/** A directory with something in it that fits the operation, and that name. */
function placeOf(dirs: readonly Node[], pick: number, otherwise: Buffer, kind: string): { place: Node; name: Buffer } {
  const wanted = (node: Node) => kind === 'rename' || kind === 'lookup' || (node.type === 'dir') === (kind === 'rmdir')
  const all = dirs.flatMap((dir) => [...dir.children].map(([name, node]) => ({ place: dir, name, node })))
  const fitting = all.filter(({ node }) => wanted(node))
  const one = fitting[pick % fitting.length]
  const first = dirs[0]
  if (one !== undefined) return { place: one.place, name: Buffer.from(one.name, 'latin1') }
  if (first === undefined) throw new Error('the model has lost its root')
  return { place: first, name: otherwise }
}

function child(dir: Node, pick: number, otherwise: Buffer): Buffer {
  const name = [...dir.children.keys()][pick % dir.children.size]
  return name === undefined ? otherwise : Buffer.from(name, 'latin1')
}

function inoOf(nodes: readonly Node[], pick: number, otherwise: bigint, kind: TreeOperation['$case']): bigint {
  const fitting = nodes.filter(({ type }) => {
    if (['write', 'read', 'lseek', 'fallocate'].includes(kind)) return type === 'file'
    if (kind === 'link') return type !== 'dir'
    if (kind === 'readlink') return type === 'link'
    if (kind === 'readdir') return type === 'dir'
    return kind.endsWith('xattr') ? type === 'file' || type === 'dir' : true
  })
  const one = fitting[pick % fitting.length]
  return one === undefined ? otherwise : BigInt(one.ino)
}
