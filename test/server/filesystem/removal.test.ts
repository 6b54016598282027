import t from 'tap'
import { violations } from '../../../server/filesystem/invariants.ts'
import { errnoOf, fourCallers } from '../../fixtures/file-calls.ts'

void t.test('unlink and rmdir refuse what Linux refuses', async (t) => {
  const { ann, bob, dee, root } = fourCallers()
  const dir = ann.mkdir(1n, 'd', 0o777)
  const sticky = ann.mkdir(1n, 'sticky', 0o1777)
  const closed = ann.mkdir(1n, 'closed', 0o755)
  const file = bob.create(dir, 'f')
  bob.mkdir(dir, 'sub')
  for (const parent of [sticky, closed]) {
    ann.create(parent, 'a')
    ann.mkdir(parent, 's')
  }
  bob.create(sticky, 'b')
  const rows = [
    ['unlink a directory', 'EISDIR', () => ann.unlink(dir, 'sub')],
    ['unlink "."', 'EISDIR', () => ann.unlink(dir, '.')],
    ['unlink an absent name', 'ENOENT', () => ann.unlink(dir, 'none')],
    ['unlink where one may not write', 'EACCES', () => dee.unlink(closed, 'a')],
    ['unlink in a file', 'ENOTDIR', () => ann.unlink(file, 'a')],
    ['unlink another’s in a sticky directory', 'EPERM', () => bob.unlink(sticky, 'a')],
    ['unlink a long name', 'ENAMETOOLONG', () => ann.unlink(dir, 'n'.repeat(256))],
    ['rmdir a file', 'ENOTDIR', () => ann.rmdir(dir, 'f')],
    ['rmdir "."', 'EINVAL', () => ann.rmdir(dir, '.')],
    ['rmdir ".."', 'ENOTEMPTY', () => ann.rmdir(dir, '..')],
    ['rmdir an absent name', 'ENOENT', () => ann.rmdir(dir, 'none')],
    ['rmdir where one may not write', 'EACCES', () => dee.rmdir(closed, 's')],
    ['rmdir another’s in a sticky directory', 'EPERM', () => bob.rmdir(sticky, 's')],
    ['rmdir what is not empty', 'ENOTEMPTY', () => ann.rmdir(1n, 'd')],
  ] as const
  for (const [what, errno, run] of rows) t.equal(errnoOf(run), errno, what)
  t.equal(
    errnoOf(() => bob.unlink(sticky, 'b')),
    undefined,
    'one’s own in a sticky directory',
  )
  t.equal(
    errnoOf(() => ann.unlink(sticky, 'a')),
    undefined,
    'the owner of the sticky directory',
  )
  t.equal(
    errnoOf(() => root.rmdir(sticky, 's')),
    undefined,
    'root',
  )
})

void t.test('an inode without names lives on until it is reaped', async (t) => {
  const { ann, volume } = fourCallers()
  const small = ann.create(1n, 'small')
  const large = ann.create(1n, 'large')
  const dir = ann.mkdir(1n, 'd')
  ann.write(small, 0, 'text')
  ann.write(large, 0, Buffer.alloc(9000, 1))
  ann.setxattr(small, 'user.a', 'b')
  const before = ann.statfs()
  ann.nowNs = 8n
  for (const name of ['small', 'large']) ann.unlink(1n, name)
  ann.rmdir(1n, 'd')
  t.match(ann.stat(1n), { nlink: 2, mtimeNs: 8n })
  for (const ino of [small, large, dir]) t.match(ann.stat(ino), { nlink: 0, ctimeNs: 8n })
  ann.write(small, 4, ' grows')
  ann.write(large, 0, 'x')
  ann.setattr(small, { mode: 0o600 })
  t.equal(ann.read(small).toString(), 'text grows')
  t.equal(
    errnoOf(() => ann.link(small, 1n, 'again')),
    'ENOENT',
  )
  t.equal(
    errnoOf(() => ann.create(dir, 'f')),
    'ENOENT',
  )
  t.same(volume.orphans(), [small, large, dir])
  t.same(violations(volume.values), [])

  volume.reap([small, large, dir])
  for (const ino of [small, large, dir])
    t.equal(
      errnoOf(() => ann.stat(ino)),
      'ESTALE',
    )
  t.equal(
    errnoOf(() => ann.write(small, 0, 'a')),
    'ESTALE',
  )
  t.same([volume.values.size, volume.blobs.size], [3, 0], 'the root and two counters')
  t.equal(before.files - before.filesFree - (ann.statfs().files - ann.statfs().filesFree), 3n)
  t.same(violations(volume.values, new Map()), [])
})

void t.test('reaping passes over what is no orphan', async (t) => {
  const { ann, volume } = fourCallers()
  const { reap } = await import('../../../server/filesystem/reap.ts')
  const file = ann.create(1n, 'f')
  t.same(reap(volume, [file, 1n, 99n]), [])
})

void t.test('link', async (t) => {
  const { ann, dee, root, volume } = fourCallers()
  const dir = ann.mkdir(1n, 'd', 0o755)
  const file = ann.create(1n, 'f')
  ann.nowNs = 6n
  t.match(ann.link(file, dir, 'l'), { ino: file, nlink: 2, ctimeNs: 6n, mtimeNs: 1000n })
  t.match(ann.stat(dir), { nlink: 2, mtimeNs: 6n })
  const rows = [
    ['a directory', 'EPERM', () => root.link(dir, 1n, 'x')],
    ['a name that is taken', 'EEXIST', () => ann.link(file, dir, 'l')],
    ['where one may not write', 'EACCES', () => dee.link(file, dir, 'x')],
    ['an inode that is not there', 'ESTALE', () => ann.link(99n, dir, 'x')],
  ] as const
  for (const [what, errno, run] of rows) t.equal(errnoOf(run), errno, what)
  const link = ann.symlink(1n, 's', 'f')
  t.equal(ann.link(link, dir, 's').nlink, 2, 'a symlink is linked itself')
  ann.unlink(1n, 'f')
  t.match(ann.stat(file), { nlink: 1 })
  t.same(violations(volume.values), [])
})

void t.test('65000 names of one inode, and no more', async (t) => {
  const { ann } = fourCallers()
  const file = ann.create(1n, 'f')
  for (let index = 1; index < 65000; index++) ann.link(file, 1n, `l${index}`)
  t.equal(
    errnoOf(() => ann.link(file, 1n, 'one more')),
    'EMLINK',
  )
})
