import t from 'tap'
import { errnoOf, fourCallers } from '../../fixtures/file-calls.ts'

const [write, readWrite, truncate, execute, noAtime, exclusive] = [1, 2, 0o1000, 0o40, 0o1000000, 0o200]

void t.test('an open asks for the rights that its flags mean', async (t) => {
  const rows = [
    ['to read', 0o400, 0, undefined],
    ['to read without the right', 0o300, 0, 'EACCES'],
    ['to write', 0o200, write, undefined],
    ['to write without the right', 0o500, write, 'EACCES'],
    ['both', 0o600, readWrite, undefined],
    ['both with one right', 0o400, readWrite, 'EACCES'],
    ['access mode 3 means both', 0o400, 3, 'EACCES'],
    ['to truncate is to write', 0o400, truncate, 'EACCES'],
    ['to execute needs no right to read', 0o100, execute, undefined],
    ['but that to execute', 0o600, execute, 'EACCES'],
  ] as const
  for (const [what, mode, flags, errno] of rows) {
    const { ann } = fourCallers()
    const ino = ann.create(1n, 'f', mode)
    t.equal(
      errnoOf(() => ann.open(ino, flags)),
      errno,
      what,
    )
  }
})

void t.test('an open refuses', async (t) => {
  const { ann, dee, root } = fourCallers()
  const file = ann.create(1n, 'f', 0o666)
  t.equal(
    errnoOf(() => root.open(1n, write)),
    'EISDIR',
  )
  t.equal(
    errnoOf(() => root.open(1n, truncate)),
    'EISDIR',
  )
  t.equal(
    errnoOf(() => root.open(1n, 0)),
    undefined,
  )
  t.equal(
    errnoOf(() => root.open(root.symlink(1n, 's', 'f'), 0)),
    'ELOOP',
  )
  t.equal(
    errnoOf(() => dee.open(file, noAtime)),
    'EPERM',
  )
  t.equal(
    errnoOf(() => ann.open(file, noAtime)),
    undefined,
  )
  t.equal(
    errnoOf(() => ann.open(99n)),
    'ESTALE',
  )
})

void t.test('O_TRUNC empties a file, takes privileges away and notes the time', async (t) => {
  const { ann, root } = fourCallers()
  const ino = ann.create(1n, 'f')
  ann.write(ino, 0, Buffer.alloc(10_000, 1))
  root.setattr(ino, { mode: 0o6755 })
  root.nowNs = 9n
  t.match(root.open(ino, truncate | write), { size: 0n, mode: 0o106755, mtimeNs: 9n, ctimeNs: 9n })
  t.match(root.open(ino, truncate | write, true), { mode: 0o100755 })
  t.equal(root.volume.blobs.size, 0)
  const fifo = root.mknod(1n, 'p', 0o010666)
  t.match(root.open(fifo, truncate | write), { mtimeNs: 9n }, 'a FIFO has nothing to empty')
})

void t.test('create opens what is there, unless it is to be exclusive', async (t) => {
  const { ann, dee, root } = fourCallers()
  const ino = ann.create(1n, 'f', 0o644)
  ann.write(ino, 0, 'text')
  t.equal(
    errnoOf(() => ann.create(1n, 'f', 0o600, { flags: exclusive })),
    'EEXIST',
  )
  t.equal(
    errnoOf(() => dee.create(1n, 'f', 0o600, { flags: write })),
    'EACCES',
  )
  t.equal(dee.create(1n, 'f', 0o600, { flags: 0 }), ino)
  t.match(ann.stat(ino), { size: 4n, mode: 0o100644 })
  t.equal(ann.create(1n, 'f', 0o600, { flags: write | truncate }), ino)
  t.match(ann.stat(ino), { size: 0n, mode: 0o100644 })
  ann.mkdir(1n, 'd')
  ann.symlink(1n, 's', 'f')
  t.equal(
    errnoOf(() => root.create(1n, 'd')),
    'EISDIR',
  )
  t.equal(
    errnoOf(() => root.create(1n, 's')),
    'ESTALE',
    'the kernel looks again',
  )
})

void t.test('who creates may write, whatever the mode', async (t) => {
  const { ann } = fourCallers()
  t.equal(
    errnoOf(() => ann.create(1n, 'f', 0o000, { flags: readWrite })),
    undefined,
  )
})
