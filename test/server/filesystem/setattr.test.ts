import t from 'tap'
import type { Setattr } from '../../../proto/generated/file-service.ts'
import { errnoOf, type FileCalls, fourCallers } from '../../fixtures/file-calls.ts'

type World = ReturnType<typeof fourCallers>
type Who = 'root' | 'ann' | 'bob' | 'dee'
const now = { now: true, ns: 0n }
const then = { now: false, ns: -5n }

/** On a file of ann's, group 1000 or 50. */
const modes: readonly (readonly [string, Who, number, Partial<Setattr>, string | number])[] = [
  ['the owner', 'ann', 0o644, { mode: 0o600 }, 0o600],
  ['root', 'root', 0o644, { mode: 0o7777 }, 0o7777],
  ['others', 'dee', 0o666, { mode: 0o777 }, 'EPERM'],
  ['type bits are not the caller’s', 'ann', 0o644, { mode: 0o040755 }, 0o755],
  ['set-gid of one’s own group', 'ann', 0o644, { mode: 0o2755 }, 0o2755],
  ['set-gid in the same step as a group one is in', 'ann', 0o644, { mode: 0o2755, gid: 50 }, 0o2755],
  ['a change of group takes set-uid and set-gid away', 'ann', 0o6755, { gid: 50 }, 0o755],
  ['even root’s change of owner', 'root', 0o6755, { uid: 5 }, 0o755],
  ['set-gid without execute stays', 'ann', 0o2644, { gid: 50 }, 0o2644],
  ['a driver may ask for it', 'root', 0o6755, { killPrivileges: true }, 0o755],
  ['a truncation takes it away', 'bob', 0o6777, { size: 0n }, 0o777],
  ['not root’s', 'root', 0o6777, { size: 0n }, 0o6777],
  ['unless a driver asks', 'root', 0o6777, { size: 0n, killPrivileges: true }, 0o777],
]

void t.test('mode', async (t) => {
  for (const [what, who, mode, change, expected] of modes) {
    const world = fourCallers()
    const file = world.ann.create(1n, 'f')
    world.root.setattr(file, { mode })
    if (typeof expected === 'string')
      t.equal(
        errnoOf(() => world[who].setattr(file, change)),
        expected,
        what,
      )
    else t.equal((world[who].setattr(file, change).mode & 0o7777).toString(8), expected.toString(8), what)
  }
})

void t.test('set-gid is taken away from who is not in the group, also of directories', async (t) => {
  const { ann, root } = fourCallers()
  const dir = ann.mkdir(1n, 'd')
  root.setattr(dir, { gid: 7 })
  t.equal(ann.setattr(dir, { mode: 0o2755 }).mode & 0o7777, 0o755)
  root.setattr(dir, { mode: 0o2755 })
  t.equal(root.setattr(dir, { gid: 8 }).mode & 0o7777, 0o2755, 'a change of group leaves a directory’s alone')
})

const owners: readonly (readonly [string, Who, Partial<Setattr>, string | undefined])[] = [
  ['root gives away', 'root', { uid: 5, gid: 6 }, undefined],
  ['an owner does not', 'ann', { uid: 1001 }, 'EPERM'],
  ['but to itself', 'ann', { uid: 1000 }, undefined],
  ['to a group it is in', 'ann', { gid: 50 }, undefined],
  ['not to another', 'ann', { gid: 7 }, 'EPERM'],
  ['to the group it has', 'ann', { gid: 1000 }, undefined],
  ['others never', 'dee', { gid: 1003 }, 'EPERM'],
  ['not even to what it is', 'dee', { uid: 1000 }, 'EPERM'],
]

void t.test('owner and group', async (t) => {
  for (const [what, who, change, errno] of owners) {
    const world = fourCallers()
    const file = world.ann.create(1n, 'f')
    t.equal(
      errnoOf(() => world[who].setattr(file, change)),
      errno,
      what,
    )
    if (errno === undefined) t.match(world.root.stat(file), change, what)
  }
})

const times: readonly (readonly [string, Who, Partial<Setattr>, string | undefined])[] = [
  ['the owner sets any', 'ann', { atime: then, mtime: then }, undefined],
  ['the owner sets one', 'ann', { mtime: then }, undefined],
  ['who may write sets both to now', 'bob', { atime: now, mtime: now }, undefined],
  ['who may write sets no others', 'bob', { atime: then, mtime: then }, 'EPERM'],
  ['nor only one to now', 'bob', { mtime: now }, 'EPERM'],
  ['nor one to now and one not', 'bob', { atime: now, mtime: then }, 'EPERM'],
  ['who may not write', 'dee', { atime: now, mtime: now }, 'EACCES'],
  ['root', 'root', { atime: then }, undefined],
]

void t.test('times', async (t) => {
  for (const [what, who, change, errno] of times) {
    const world = fourCallers()
    const file = fileOfGroup(world)
    world[who].nowNs = 5000n
    t.equal(
      errnoOf(() => world[who].setattr(file, change)),
      errno,
      what,
    )
    if (errno !== undefined) continue
    const wanted = (time: Setattr['atime']) => (time === undefined ? 1000n : time.now ? 5000n : time.ns)
    const expected = { atimeNs: wanted(change.atime), mtimeNs: wanted(change.mtime), ctimeNs: 5000n, btimeNs: 1000n }
    t.match(world.root.stat(file), expected, what)
  }
})

/** ann's, but all of group 50 may write. */
function fileOfGroup({ ann }: World): bigint {
  const file = ann.create(1n, 'f', 0o664)
  ann.setattr(file, { gid: 50 })
  return file
}

const sizes: readonly (readonly [string, Who, (who: FileCalls, world: World) => unknown, string | undefined])[] = [
  ['who may write', 'bob', (who, world) => who.setattr(fileOfGroup(world), { size: 1n }), undefined],
  ['who may not', 'dee', (who, world) => who.setattr(fileOfGroup(world), { size: 1n }), 'EACCES'],
  [
    'who has it open',
    'dee',
    (who, world) => who.setattr(fileOfGroup(world), { size: 1n, openForWriting: true }),
    undefined,
  ],
  ['a directory', 'root', (who) => who.setattr(1n, { size: 1n }), 'EISDIR'],
  ['a FIFO', 'root', (who) => who.setattr(who.mknod(1n, 'p', 0o010666), { size: 1n }), 'EINVAL'],
  ['the greatest size', 'root', (who) => who.setattr(who.create(1n, 'f'), { size: 2n ** 44n - 4096n }), undefined],
  ['one byte more', 'root', (who) => who.setattr(who.create(1n, 'f'), { size: 2n ** 44n - 4095n }), 'EFBIG'],
  ['a size that looks negative', 'root', (who) => who.setattr(who.create(1n, 'f'), { size: 2n ** 64n - 1n }), 'EFBIG'],
]

void t.test('size', async (t) => {
  for (const [what, who, run, errno] of sizes) {
    const world = fourCallers()
    t.equal(
      errnoOf(() => run(world[who], world)),
      errno,
      what,
    )
  }
})

void t.test('a truncation notes the time, also to the size it has', async (t) => {
  const { root } = fourCallers()
  const file = root.create(1n, 'f')
  root.nowNs = 9n
  t.match(root.setattr(file, { size: 0n }), { mtimeNs: 9n, ctimeNs: 9n, atimeNs: 1000n })
  t.match(root.setattr(file, { size: 10n, mtime: then }), { mtimeNs: -5n, size: 10n }, 'unless one is given')
})

void t.test('nothing to change changes nothing', async (t) => {
  const { root } = fourCallers()
  const file = root.create(1n, 'f')
  root.nowNs = 9n
  t.equal(root.setattr(file, {}).ctimeNs, 1000n)
})
