import t from 'tap'
import { errnoOf, type FileCalls, fourCallers } from '../../fixtures/file-calls.ts'

const [create, replace] = [1, 2]

void t.test('attributes are set, replaced, listed and removed', async (t) => {
  const { ann } = fourCallers()
  const file = ann.create(1n, 'f')
  t.same(ann.listxattr(file), [])
  ann.nowNs = 9n
  ann.setxattr(file, 'user.one', Buffer.from([0, 255]))
  ann.setxattr(file, 'user.two', '')
  ann.setxattr(file, 'user.one', 'new', replace)
  t.match(ann.stat(file), { ctimeNs: 9n, mtimeNs: 1000n })
  ann.nowNs = 10n
  ann.setxattr(file, 'user.one', 'new')
  t.match(ann.stat(file), { ctimeNs: 9n }, 'the value it has')
  t.same(ann.listxattr(file), ['user.one', 'user.two'])
  t.equal(ann.getxattr(file, 'user.one').toString(), 'new')
  t.equal(ann.getxattr(file, 'user.two').length, 0)
  ann.removexattr(file, 'user.one')
  t.same(ann.listxattr(file), ['user.two'])
  ann.removexattr(file, 'user.two')
  t.same(ann.listxattr(file), [])
})

void t.test('attributes are refused', async (t) => {
  const { ann, bob, dee, root } = fourCallers()
  const file = ann.create(1n, 'f', 0o640)
  const link = ann.symlink(1n, 's', 'f')
  const fifo = ann.mknod(1n, 'p', 0o010666)
  const sticky = ann.mkdir(1n, 'sticky', 0o1777)
  ann.setxattr(file, 'user.a', 'x')
  const rows = [
    ['get an absent one', 'ENODATA', () => ann.getxattr(file, 'user.b')],
    ['remove an absent one', 'ENODATA', () => ann.removexattr(file, 'user.b')],
    ['create one that is there', 'EEXIST', () => ann.setxattr(file, 'user.a', 'x', create)],
    ['replace one that is not', 'ENODATA', () => ann.setxattr(file, 'user.b', 'x', replace)],
    ['unknown flags', 'EINVAL', () => ann.setxattr(file, 'user.b', 'x', 4)],
    ['another namespace', 'EOPNOTSUPP', () => root.setxattr(file, 'other.a', 'x')],
    ['to get from one', 'EOPNOTSUPP', () => root.getxattr(file, 'system.nfs4_acl')],
    ['none', 'EOPNOTSUPP', () => root.setxattr(file, 'user', 'x')],
    ['a security one, of others than root', 'EPERM', () => ann.setxattr(file, 'security.a', 'x')],
    ['to remove one', 'EPERM', () => ann.removexattr(file, 'security.a')],
    ['trusted alone', 'EINVAL', () => root.setxattr(file, 'trusted.', 'x')],
    ['trusted, of others', 'EPERM', () => ann.setxattr(file, 'trusted.a', 'x')],
    ['to get a trusted one', 'ENODATA', () => ann.getxattr(file, 'trusted.a')],
    ['a symlink', 'EPERM', () => root.setxattr(link, 'user.a', 'x')],
    ['to get of a symlink', 'ENODATA', () => root.getxattr(link, 'user.a')],
    ['a FIFO', 'EPERM', () => root.setxattr(fifo, 'user.a', 'x')],
    ['no right to write', 'EACCES', () => bob.setxattr(file, 'user.a', 'x')],
    ['no right to read', 'EACCES', () => dee.getxattr(file, 'user.a')],
    ['another’s sticky directory', 'EPERM', () => dee.setxattr(sticky, 'user.a', 'x')],
    ['a namespace alone', 'EINVAL', () => ann.setxattr(file, 'user.', 'x')],
    ['no name', 'ERANGE', () => ann.setxattr(file, '', 'x')],
    ['a long name', 'ERANGE', () => ann.setxattr(file, `user.${'n'.repeat(251)}`, 'x')],
    ['a long value', 'E2BIG', () => ann.setxattr(file, 'user.b', Buffer.alloc(65537))],
    ['an inode that is not there', 'ESTALE', () => ann.listxattr(99n)],
  ] as const
  for (const [what, errno, run] of rows) t.equal(errnoOf(run), errno, what)
  t.equal(
    errnoOf(() => ann.setxattr(file, `user.${'n'.repeat(250)}`, Buffer.alloc(65536))),
    undefined,
  )
})

void t.test('an inode has room for so much', async (t) => {
  const { ann } = fourCallers()
  const file = ann.create(1n, 'f')
  ann.setxattr(file, 'user.a', Buffer.alloc(65536))
  t.equal(
    errnoOf(() => ann.setxattr(file, 'user.b', Buffer.alloc(65536))),
    'ENOSPC',
  )
  ann.setxattr(file, 'user.a', '')
  const name = (index: number) => `user.${String(index).padStart(250, 'n')}`
  for (let index = 0; index < 255; index++) ann.setxattr(file, name(index), '')
  t.equal(
    errnoOf(() => ann.setxattr(file, name(255), '')),
    'ENOSPC',
    'listxattr gives 64 KiB at most',
  )
})

void t.test('trusted and security attributes stand on any inode', async (t) => {
  const { ann, root, dee } = fourCallers()
  const inodes = {
    file: ann.create(1n, 'f', 0o600),
    link: ann.symlink(1n, 's', 'f'),
    fifo: ann.mknod(1n, 'p', 0o010600),
  }
  for (const [what, ino] of Object.entries(inodes)) {
    root.setxattr(ino, 'trusted.a', '1')
    root.setxattr(ino, 'security.a', '2')
    t.same(root.listxattr(ino), ['trusted.a', 'security.a'], what)
    t.same(dee.listxattr(ino), ['security.a'], 'only root sees trusted ones')
    t.equal(dee.getxattr(ino, 'security.a').toString(), '2', 'anybody reads security ones')
    t.equal(root.getxattr(ino, 'trusted.a').toString(), '1')
    root.removexattr(ino, 'trusted.a')
    t.same(root.listxattr(ino), ['security.a'])
  }
})

void t.test('file capabilities end when contents or owner change', async (t) => {
  const name = 'security.capability'
  type Run = (who: FileCalls, file: bigint) => unknown
  const rows: readonly (readonly [string, boolean, Run])[] = [
    ['a write', false, (who, file) => who.write(file, 0, 'x')],
    ['a write of nothing', true, (who, file) => who.write(file, 0, '')],
    ['a truncation', false, (who, file) => who.setattr(file, { size: 0n })],
    ['an open that truncates', false, (who, file) => who.open(file, 0o1001)],
    ['a change of owner', false, (who, file) => who.setattr(file, { uid: 5 })],
    ['a change of group', false, (who, file) => who.setattr(file, { gid: 5 })],
    ['a driver that asks', false, (who, file) => who.setattr(file, { killPrivileges: true })],
    ['a change of mode', true, (who, file) => who.setattr(file, { mode: 0o711 })],
    ['a change of times', true, (who, file) => who.setattr(file, { mtime: { now: true, ns: 0n } })],
    ['a new name', true, (who, file) => who.link(file, 1n, 'l')],
    ['a directory’s owner', true, (who) => who.setattr(1n, { uid: 5 })],
  ]
  for (const [what, stays, run] of rows) {
    const { root } = fourCallers()
    const file = root.create(1n, 'f', 0o755)
    for (const ino of [1n, file]) {
      root.setxattr(ino, 'user.a', 'kept')
      root.setxattr(ino, name, 'caps')
    }
    root.nowNs = 5n
    run(root, file)
    t.same(root.listxattr(file), stays ? ['user.a', name] : ['user.a'], what)
    t.ok(root.listxattr(1n).includes(name), 'a directory’s stay')
    if (!stays) t.equal(root.stat(file).ctimeNs, 5n)
  }
})
