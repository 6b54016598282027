import t from 'tap'
import { errnoOf, fourCallers } from '../../fixtures/file-calls.ts'

void t.test('lookup', async (t) => {
  const { ann, dee } = fourCallers()
  const dir = ann.mkdir(1n, 'd', 0o711)
  const closed = ann.mkdir(1n, 'closed', 0o600)
  const file = ann.create(dir, Buffer.from([0xff, 0xfe]))
  t.equal(dee.lookup(dir, Buffer.from([0xff, 0xfe])).ino, file, 'needs search, not read; names are bytes')
  t.equal(dee.lookup(dir, '.').ino, dir)
  t.equal(dee.lookup(dir, '..').ino, 1n)
  t.equal(dee.lookup(1n, '..').ino, 1n, 'the root is above itself')
  const rows = [
    ['an absent name', 'ENOENT', () => dee.lookup(dir, 'x')],
    ['in a file', 'ENOTDIR', () => dee.lookup(file, 'x')],
    ['no right to search', 'EACCES', () => ann.lookup(closed, '.')],
    ['a long name', 'ENAMETOOLONG', () => dee.lookup(dir, 'x'.repeat(256))],
    ['no such directory', 'ESTALE', () => dee.lookup(99n, 'x')],
  ] as const
  for (const [what, errno, run] of rows) t.equal(errnoOf(run), errno, what)
})
