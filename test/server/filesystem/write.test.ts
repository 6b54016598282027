import t from 'tap'
import { errnoOf, fourCallers } from '../../fixtures/file-calls.ts'

void t.test('appends go to the end as it is, and say where', async (t) => {
  const { ann, bob } = fourCallers()
  const ino = ann.create(1n, 'log', 0o666)
  t.same(ann.write(ino, 0, 'one'), { length: 3, offset: 0n, size: 3n })
  t.same(bob.write(ino, 0, 'two', { append: true }), { length: 3, offset: 3n, size: 6n })
  t.same(ann.write(ino, 1, 'X'), { length: 1, offset: 1n, size: 6n })
  t.equal(ann.read(ino).toString(), 'oXetwo')
})

void t.test('a write notes the time; one of nothing does not', async (t) => {
  const { ann } = fourCallers()
  const ino = ann.create(1n, 'f')
  ann.nowNs = 9n
  ann.write(ino, 5, '')
  t.match(ann.stat(ino), { size: 0n, mtimeNs: 1000n })
  ann.write(ino, 5, 'a')
  t.match(ann.stat(ino), { mtimeNs: 9n, ctimeNs: 9n, atimeNs: 1000n })
})

void t.test('a write takes set-uid and set-gid away, but root’s', async (t) => {
  const rows = [
    ['somebody’s', 'ann', {}, 0o755],
    ['root’s', 'root', {}, 0o6755],
    ['root’s, if the driver asks', 'root', { killPrivileges: true }, 0o755],
  ] as const
  for (const [what, who, how, mode] of rows) {
    const world = fourCallers()
    const ino = world.ann.create(1n, 'f')
    world.root.setattr(ino, { mode: 0o6755 })
    world[who].write(ino, 0, 'a', how)
    t.equal(world.root.stat(ino).mode & 0o7777, mode, what)
  }
})

void t.test('only files are written and read', async (t) => {
  const { root } = fourCallers()
  const fifo = root.mknod(1n, 'p', 0o010666)
  t.equal(
    errnoOf(() => root.write(1n, 0, 'a')),
    'EISDIR',
  )
  t.equal(
    errnoOf(() => root.read(1n)),
    'EISDIR',
  )
  t.equal(
    errnoOf(() => root.write(fifo, 0, 'a')),
    'EINVAL',
  )
  t.equal(
    errnoOf(() => root.read(fifo)),
    'EINVAL',
  )
  t.equal(
    errnoOf(() => root.write(99n, 0, 'a')),
    'ESTALE',
  )
  t.equal(
    errnoOf(() => root.read(99n)),
    'ESTALE',
  )
})
