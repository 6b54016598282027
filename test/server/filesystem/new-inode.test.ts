import t from 'tap'
import { errnoOf, type FileCalls, fourCallers } from '../../fixtures/file-calls.ts'

const long = 'n'.repeat(256)

/** What makes a name, in a directory. */
const makers: Readonly<Record<string, (who: FileCalls, parent: bigint, name: string) => unknown>> = {
  mkdir: (who, parent, name) => who.mkdir(parent, name),
  create: (who, parent, name) => who.create(parent, name, 0o644, { flags: 0o200 }),
  mknod: (who, parent, name) => who.mknod(parent, name, 0o010644),
  symlink: (who, parent, name) => who.symlink(parent, name, 'target'),
}

for (const [kind, make] of Object.entries(makers)) {
  void t.test(`${kind} refuses what Linux refuses`, async (t) => {
    const { ann, dee, root } = fourCallers()
    const dir = ann.mkdir(1n, 'd', 0o755)
    const closed = ann.mkdir(1n, 'closed', 0o600)
    const file = ann.create(1n, 'f')
    make(ann, dir, 'there')
    const gone = ann.mkdir(1n, 'gone', 0o777)
    ann.rmdir(1n, 'gone')
    const rows = [
      ['a name that is taken', 'EEXIST', () => make(ann, dir, 'there')],
      ['a name that is taken, before the right to write is looked at', 'EEXIST', () => make(dee, dir, 'there')],
      ['"."', kind === 'create' ? 'EISDIR' : 'EEXIST', () => make(ann, dir, '.')],
      ['".."', kind === 'create' ? 'EISDIR' : 'EEXIST', () => make(ann, dir, '..')],
      ['no name', 'ENOENT', () => make(ann, dir, '')],
      ['a name that is too long', 'ENAMETOOLONG', () => make(ann, dir, long)],
      ['a name with a slash', 'EINVAL', () => make(ann, dir, 'a/b')],
      ['a name with a NUL', 'EINVAL', () => make(ann, dir, 'a\0')],
      ['no right to write', 'EACCES', () => make(dee, dir, 'n')],
      ['no right to search', 'EACCES', () => make(ann, closed, 'n')],
      ['a file as directory', 'ENOTDIR', () => make(ann, file, 'n')],
      ['a removed directory', 'ENOENT', () => make(root, gone, 'n')],
      ['no such directory', 'ESTALE', () => make(root, 99n, 'n')],
    ] as const
    for (const [what, errno, run] of rows) t.equal(errnoOf(run), errno, what)
    t.equal(
      errnoOf(() => make(ann, dir, long.slice(1))),
      undefined,
      'a name of 255 bytes is fine',
    )
  })
}

void t.test('owner, group and mode of what is new', async (t) => {
  const { ann, dee, root } = fourCallers()
  const plain = ann.mkdir(1n, 'plain', 0o777)
  const grouped = ann.mkdir(1n, 'grouped', 0o777)
  root.setattr(grouped, { gid: 50 })
  root.setattr(grouped, { mode: 0o2777 })
  const rows = [
    ['the caller’s own', () => ann.create(plain, 'a', 0o644), 0o100644, 1000],
    ['umask', () => ann.create(plain, 'b', 0o666, { umask: 0o027 }), 0o100640, 1000],
    ['set-uid stays', () => ann.create(plain, 'c', 0o4755), 0o104755, 1000],
    ['the directory’s group if it is set-gid', () => dee.create(grouped, 'a', 0o644), 0o100644, 50],
    ['a directory there is set-gid too', () => dee.mkdir(grouped, 'd', 0o755), 0o042755, 50],
    ['mkdir takes no set-gid from its caller', () => dee.mkdir(plain, 'd', 0o6755), 0o040755, 1003],
    ['but sticky', () => dee.mkdir(plain, 'e', 0o1777), 0o041777, 1003],
    ['a set-gid executable of a group one is not in', () => dee.create(grouped, 'x', 0o2755), 0o100755, 50],
    ['of a group one is in', () => ann.create(grouped, 'y', 0o2755), 0o102755, 50],
    ['set-gid without execute', () => dee.create(grouped, 'z', 0o2644), 0o102644, 50],
    ['a symlink', () => ann.symlink(plain, 's', 'x'), 0o120777, 1000],
    ['a FIFO', () => ann.mknod(plain, 'fifo', 0o010600), 0o010600, 1000],
    ['a socket', () => ann.mknod(plain, 'sock', 0o140600), 0o140600, 1000],
    ['a file by mknod', () => ann.mknod(plain, 'reg', 0o600), 0o100600, 1000],
  ] as const
  for (const [what, make, mode, gid] of rows) {
    const found = root.stat(make())
    t.same([found.mode.toString(8), found.gid], [mode.toString(8), gid], what)
  }
})

void t.test('devices are root’s; other types of mknod are refused', async (t) => {
  const { ann, root } = fourCallers()
  const rows = [
    ['a device', 'EPERM', () => ann.mknod(1n, 'a', 0o020600, 259)],
    ['a block device', 'EPERM', () => ann.mknod(1n, 'a', 0o060600, 0)],
    ['a whiteout', undefined, () => ann.mknod(1n, 'w', 0o020000, 0)],
    ['a directory', 'EPERM', () => root.mknod(1n, 'a', 0o040755)],
    ['a symlink', 'EINVAL', () => root.mknod(1n, 'a', 0o120777)],
    ['an unknown type', 'EINVAL', () => root.mknod(1n, 'a', 0o150777)],
  ] as const
  for (const [what, errno, run] of rows) t.equal(errnoOf(run), errno, what)
  t.equal(root.stat(root.mknod(1n, 'dev', 0o060600, 0x12345678)).rdev, 0x12345678n, 'the device number is kept')
  t.equal(root.stat(root.mknod(1n, 'pipe', 0o010600, 5)).rdev, 0n, 'what is no device has none')
})

void t.test('symlinks keep their target, within limits', async (t) => {
  const { ann } = fourCallers()
  const target = Buffer.from([0xff, 0x2f, 0x80])
  const ino = ann.symlink(1n, 's', target)
  t.same(ann.run('data', { $case: 'readlink', value: { ino } }), target, 'any bytes')
  t.equal(ann.stat(ino).size, 3n)
  t.equal(ann.readlink(ann.symlink(1n, 'l', 't'.repeat(4095))).length, 4095)
  t.equal(
    errnoOf(() => ann.symlink(1n, 'm', 't'.repeat(4096))),
    'ENAMETOOLONG',
  )
  t.equal(
    errnoOf(() => ann.symlink(1n, 'm', '')),
    'ENOENT',
  )
  t.equal(
    errnoOf(() => ann.symlink(1n, 'm', 'a\0b')),
    'EINVAL',
  )
  t.equal(
    errnoOf(() => ann.readlink(1n)),
    'EINVAL',
    'a directory is no symlink',
  )
})

void t.test('times and links of the parent', async (t) => {
  const { ann, root } = fourCallers()
  root.nowNs = 5n
  const dir = root.mkdir(1n, 'd', 0o777)
  ann.nowNs = 77n
  ann.create(dir, 'f')
  t.match(root.stat(dir), { nlink: 2, atimeNs: 5n, mtimeNs: 77n, ctimeNs: 77n, btimeNs: 5n })
  ann.mkdir(dir, 'sub')
  t.equal(root.stat(dir).nlink, 3, 'a subdirectory’s ".." counts')
  t.match(ann.lookup(dir, 'f'), { nlink: 1, atimeNs: 77n, mtimeNs: 77n, ctimeNs: 77n, btimeNs: 77n })
})
