import fc from 'fast-check'
import t from 'tap'
import { FsError } from '../../../proto/errno.ts'
import { type AnyOperation, isChange, operate } from '../../../server/filesystem/operate.ts'
import { namesMax } from '../../../server/filesystem/readdir.ts'
import { fourCallers } from '../../fixtures/file-calls.ts'
import { holds } from '../../fixtures/random.ts'
import { type Command, callers, histories } from '../../model/commands.ts'
import { play } from '../../model/play.ts'

void t.test('an open is a change when it empties the file; a read of anything is none', async (t) => {
  const open = (flags: number): AnyOperation => ({ $case: 'open', value: { ino: 2n, flags, killPrivileges: false } })
  const rows = [
    [open(0), false],
    [open(2), false],
    [open(0o1001), true],
    [{ $case: 'fsync', value: { ino: 2n } }, false],
    [{ $case: 'statfs', value: {} }, false],
    [{ $case: 'read', value: { ino: 2n, offset: 0n, length: 1 } }, false],
    [{ $case: 'unlink', value: { parent: 1n, name: Buffer.from('a') } }, true],
  ] as const
  for (const [op, expected] of rows) t.equal(isChange(op), expected, op.$case)
})

void t.test('what is no change has no effects, whatever it is', async (t) => {
  const execute: typeof operate = (view, caller, op, at) => {
    const outcome = operate(view, caller, op, at)
    if (!isChange(op) && outcome.effects.length > 0) throw new Error(`${op.$case} has effects but is no change`)
    if (outcome.effects.length === 0) return outcome
    const waits = outcome.blobRead ?? outcome.scan ?? outcome.inodes
    if (waits !== undefined) throw new Error(`${op.$case} has effects and wants something read`)
    return outcome
  }
  const check = (history: readonly Command[]) => play(history, { execute })
  holds(t, 200, fc.property(histories, check))
})

void t.test('an operation looks at a few keys and puts a few, however large the directory is', async (t) => {
  const { ann, volume } = fourCallers()
  const dir = ann.mkdir(1n, 'd')
  for (let index = 0; index < 2000; index++) ann.create(dir, `f${index}`)
  const cost = (op: AnyOperation): number[] => {
    let gets = 0
    const view = { get: (key: Parameters<typeof volume.get>[0]) => (gets++, volume.get(key)) }
    const { effects } = operate(view, ann.caller, op, { nowNs: 1n })
    return [gets, effects.length]
  }
  const name = Buffer.from('f77')
  const created = { parent: dir, name: Buffer.from('new'), mode: 0o644, umask: 0, flags: 0 }
  t.same(
    cost({ $case: 'create', value: created }),
    [6, 4],
    'counter, inode, name, directory; a default ACL is looked for',
  )
  t.same(
    cost({ $case: 'lookup', value: { parent: dir, name } }),
    [4, 0],
    'directory, name, inode, whether it has xattrs',
  )
  t.same(cost({ $case: 'unlink', value: { parent: dir, name } }), [5, 4], 'name, directory, inode, orphan')
  const moved = { parent: dir, name, newParent: 1n, newName: name, flags: 0 }
  t.same(cost({ $case: 'rename', value: moved })[1], 5, 'two names, two directories, inode')
})

void t.test('one listing has a bound', async (t) => {
  const { ann, volume } = fourCallers()
  const op: AnyOperation = { $case: 'readdir', value: { ino: 1n, cookie: 0n, count: 2 ** 32 - 1, attributes: false } }
  t.equal(operate(volume, ann.caller, op, { nowNs: 1n }).scan?.count, namesMax + 1)
})

void t.test('any numbers are answered, with a reply or an errno', async (t) => {
  const { volume } = fourCallers()
  const u64 = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n })
  const u32 = fc.nat(2 ** 32 - 1)
  const bytes = fc.uint8Array({ maxLength: 300 }).map((array) => Buffer.from(array))
  const ino = fc.oneof(fc.constant(1n), u64)
  const operations = fc.oneof(
    fc
      .record({ parent: ino, name: bytes, mode: u32, umask: u32, flags: u32 })
      .map((value) => ({ $case: 'create' as const, value })),
    fc
      .record({ parent: ino, name: bytes, mode: u32, umask: u32, rdev: u32 })
      .map((value) => ({ $case: 'mknod' as const, value })),
    fc.record({ parent: ino, name: bytes, mode: u32, umask: u32 }).map((value) => ({ $case: 'mkdir' as const, value })),
    fc.record({ ino, flags: u32, killPrivileges: fc.boolean() }).map((value) => ({ $case: 'open' as const, value })),
    fc.record({ ino, offset: u64, length: u32 }).map((value) => ({ $case: 'read' as const, value })),
    fc
      .record({ ino, cookie: u64, count: u32, attributes: fc.boolean() })
      .map((value) => ({ $case: 'readdir' as const, value })),
    fc.record({ ino, name: bytes, value: bytes, flags: u32 }).map((value) => ({ $case: 'setxattr' as const, value })),
    fc.record({ ino, mask: u32 }).map((value) => ({ $case: 'access' as const, value })),
  )
  const answered = (op: AnyOperation) => {
    try {
      volume.run({ ...callers.ann, groups: [] }, op, 5n)
    } catch (error) {
      if (!(error instanceof FsError)) throw error
    }
  }
  holds(t, 3000, fc.property(operations, answered))
})

void t.test('statfs counts inodes; the shell adds the space', async (t) => {
  const { ann, volume } = fourCallers()
  ann.create(1n, 'f')
  volume.disk = { freeBytes: 8191, totalBytes: 2 ** 40 }
  const { files, filesFree, free, available, blocks, blockSize, nameMax } = ann.statfs()
  t.equal(files - filesFree, 2n)
  t.same([free, available, blocks, blockSize, nameMax], [1n, 1n, 2n ** 28n, 4096n, 255])
})

void t.test('a damaged value is no errno: whoever executes operations says EIO and looks into it', async (t) => {
  const { ann, volume } = fourCallers()
  const dir = ann.mkdir(1n, 'd')
  for (const value of volume.values.values()) value[10] = (value[10] ?? 0) ^ 1
  t.throws(() => ann.lookup(dir, 'x'), { name: 'DamagedRecord', reason: 'checksum' })
})
