import t from 'tap'
import { violations } from '../../../server/filesystem/invariants.ts'
import { errnoOf, fourCallers } from '../../fixtures/file-calls.ts'
import { collidingNames } from './colliding-names.ts'

const [noReplace, exchange] = [1, 2]

function tree() {
  const world = fourCallers()
  const { ann } = world
  const a = ann.mkdir(1n, 'a', 0o777)
  const b = ann.mkdir(1n, 'b', 0o777)
  const sub = ann.mkdir(a, 'sub', 0o777)
  const file = ann.create(a, 'f', 0o600)
  const other = ann.create(b, 'g', 0o600)
  const empty = ann.mkdir(b, 'empty', 0o755)
  const full = ann.mkdir(b, 'full', 0o777)
  ann.create(full, 'x')
  return { ...world, a, b, sub, file, other, empty, full }
}
type Tree = ReturnType<typeof tree>

const refusals: readonly (readonly [string, string, (w: Tree) => unknown])[] = [
  ['an absent name', 'ENOENT', ({ ann, a, b }) => ann.rename(a, 'none', b, 'n')],
  ['unknown flags', 'EINVAL', ({ ann, a, b }) => ann.rename(a, 'f', b, 'n', 8)],
  ['a whiteout in exchange', 'EINVAL', ({ ann, a, b }) => ann.rename(a, 'f', b, 'g', 6)],
  ['a whiteout, NOREPLACE over a name', 'EEXIST', ({ ann, a, b }) => ann.rename(a, 'f', b, 'g', 5)],
  ['flags that exclude each other', 'EINVAL', ({ ann, a, b }) => ann.rename(a, 'f', b, 'g', 3)],
  ['"."', 'EBUSY', ({ ann, a, b }) => ann.rename(a, '.', b, 'n')],
  ['to ".."', 'EBUSY', ({ ann, a, b }) => ann.rename(a, 'f', b, '..')],
  ['a long name', 'ENAMETOOLONG', ({ ann, a, b }) => ann.rename(a, 'f', b, 'n'.repeat(256))],
  ['into itself', 'EINVAL', ({ ann, a }) => ann.rename(1n, 'a', a, 'n')],
  ['below itself', 'EINVAL', ({ ann, sub }) => ann.rename(1n, 'a', sub, 'n')],
  ['over what it is in', 'ENOTEMPTY', ({ ann, a }) => ann.rename(a, 'sub', 1n, 'a')],
  ['exchange with what it is in', 'EINVAL', ({ ann, a }) => ann.rename(a, 'sub', 1n, 'a', exchange)],
  ['a file over a directory', 'EISDIR', ({ ann, a, b }) => ann.rename(a, 'f', b, 'empty')],
  ['a directory over a file', 'ENOTDIR', ({ ann, a, b }) => ann.rename(a, 'sub', b, 'g')],
  ['a directory over one that is not empty', 'ENOTEMPTY', ({ ann, a, b }) => ann.rename(a, 'sub', b, 'full')],
  ['NOREPLACE over a name', 'EEXIST', ({ ann, a, b }) => ann.rename(a, 'f', b, 'g', noReplace)],
  ['NOREPLACE over itself', 'EEXIST', ({ ann, a }) => ann.rename(a, 'f', a, 'f', noReplace)],
  ['exchange with nothing', 'ENOENT', ({ ann, a, b }) => ann.rename(a, 'f', b, 'n', exchange)],
  ['a source in a file', 'ENOTDIR', ({ ann, file, b }) => ann.rename(file, 'f', b, 'n')],
  ['a target in a file', 'ENOTDIR', ({ ann, a, file }) => ann.rename(a, 'f', file, 'n')],
  ['no such directory', 'ESTALE', ({ ann, a }) => ann.rename(a, 'f', 99n, 'n')],
  [
    'from where one may not write',
    'EACCES',
    ({ ann, dee, a, b }) => (ann.setattr(a, { mode: 0o755 }), dee.rename(a, 'f', b, 'n')),
  ],
  [
    'to where one may not write',
    'EACCES',
    ({ ann, dee, a, b }) => (ann.setattr(b, { mode: 0o755 }), dee.rename(a, 'f', b, 'n')),
  ],
  [
    'over a name where one may not write',
    'EACCES',
    ({ ann, dee, a, b }) => (ann.setattr(b, { mode: 0o755 }), dee.rename(a, 'f', b, 'g')),
  ],
  [
    'where one may not search',
    'EACCES',
    ({ ann, dee, a, b }) => (ann.setattr(b, { mode: 0o776 }), dee.rename(a, 'f', b, 'n')),
  ],
  [
    'out of a sticky directory',
    'EPERM',
    ({ ann, dee, a, b }) => (ann.setattr(a, { mode: 0o1777 }), dee.rename(a, 'f', b, 'n')),
  ],
  [
    'over another’s in a sticky directory',
    'EPERM',
    ({ ann, dee, a, b }) => (ann.setattr(b, { mode: 0o1777 }), dee.rename(a, 'f', b, 'g')),
  ],
  ['another’s directory to a new parent', 'EACCES', ({ dee, b }) => dee.rename(b, 'empty', 1n, 'n')],
  ['by exchange, too', 'EACCES', ({ dee, a, b }) => dee.rename(a, 'f', b, 'empty', exchange)],
  [
    'into a removed directory',
    'ENOENT',
    ({ ann, a, b, empty }) => (ann.rmdir(b, 'empty'), ann.rename(a, 'f', empty, 'n')),
  ],
]

void t.test('rename refuses what Linux refuses', async (t) => {
  for (const [what, errno, run] of refusals) {
    const world = tree()
    t.equal(
      errnoOf(() => run(world)),
      errno,
      what,
    )
    t.same(violations(world.volume.values), [], what)
  }
})

void t.test('a directory may be renamed where it is without a right to write it', async (t) => {
  const { dee, b } = tree()
  t.equal(
    errnoOf(() => dee.rename(b, 'empty', b, 'n')),
    undefined,
  )
})

void t.test('a name moves, with times and counts', async (t) => {
  const { ann, a, b, file, sub, volume } = tree()
  ann.nowNs = 7n
  ann.rename(a, 'f', b, 'n')
  t.match(ann.lookup(b, 'n'), { ino: file, nlink: 1, ctimeNs: 7n, mtimeNs: 1000n })
  t.same(ann.names(a), ['sub'])
  for (const dir of [a, b]) t.match(ann.stat(dir), { mtimeNs: 7n, ctimeNs: 7n })
  t.same([ann.stat(a).nlink, ann.stat(b).nlink], [3, 4])
  ann.rename(a, 'sub', b, 'sub')
  t.same([ann.stat(a).nlink, ann.stat(b).nlink], [2, 5], 'links of the parents follow a directory')
  t.equal(ann.lookup(sub, '..').ino, b)
  t.same(violations(volume.values), [])
})

void t.test('what is replaced keeps living for who has it open, as an orphan', async (t) => {
  const { ann, a, b, file, other, empty, volume } = tree()
  ann.write(other, 0, 'kept')
  ann.rename(a, 'f', b, 'g')
  t.match(ann.lookup(b, 'g'), { ino: file })
  t.match(ann.stat(other), { nlink: 0 })
  t.equal(ann.read(other).toString(), 'kept')
  ann.rename(a, 'sub', b, 'empty')
  t.match(ann.stat(empty), { nlink: 0 })
  t.same(volume.orphans(), [other, empty])
  t.equal(ann.stat(b).nlink, 4, 'a directory for a directory')
  t.same(violations(volume.values), [])
})

void t.test('two names of one inode stay as they are', async (t) => {
  const { ann, a, b, file } = tree()
  ann.link(file, b, 'l')
  ann.nowNs = 9n
  ann.rename(a, 'f', b, 'l')
  t.same([ann.lookup(a, 'f').ino, ann.lookup(b, 'l').ino], [file, file])
  t.equal(ann.stat(file).ctimeNs, 1000n)
  ann.rename(a, 'f', a, 'f')
  t.equal(ann.lookup(a, 'f').ino, file)
})

void t.test('exchange', async (t) => {
  const { ann, a, b, file, empty, volume } = tree()
  ann.rename(a, 'f', b, 'empty', exchange)
  t.match(ann.lookup(a, 'f'), { ino: empty, nlink: 2 })
  t.match(ann.lookup(b, 'empty'), { ino: file, nlink: 1 })
  t.same([ann.stat(a).nlink, ann.stat(b).nlink], [4, 3])
  t.equal(ann.lookup(empty, '..').ino, a)
  ann.rename(1n, 'a', 1n, 'b', exchange)
  t.same([ann.lookup(1n, 'a').ino, ann.lookup(1n, 'b').ino], [b, a], 'in one directory')
  t.same(violations(volume.values), [])
})

void t.test('within a directory, also onto a name of the same hash', async (t) => {
  const [one, two] = collidingNames
  const { ann, volume } = fourCallers()
  const dir = ann.mkdir(1n, 'd')
  const first = ann.create(dir, one)
  ann.rename(dir, one, dir, two)
  t.same(ann.names(dir), [two])
  const second = ann.create(dir, one)
  ann.rename(dir, one, dir, two, exchange)
  t.same([ann.lookup(dir, one).ino, ann.lookup(dir, two).ino], [first, second])
  ann.rename(dir, one, dir, two)
  t.same(ann.names(dir), [two])
  t.same(volume.orphans(), [second])
  t.same(violations(volume.values), [])
})

void t.test('a whiteout stands under the old name', async (t) => {
  const { ann, a, b, file, volume } = tree()
  ann.rename(a, 'f', b, 'n', 4)
  t.equal(ann.lookup(b, 'n').ino, file)
  const { mode, rdev, nlink } = ann.lookup(a, 'f')
  t.strictSame([mode, rdev, nlink], [0o020000, 0n, 1])
  t.strictSame(violations(volume.values), [])
})
