import t from 'tap'
import { type FileCalls, fourCallers } from '../../fixtures/file-calls.ts'
import { aclValue } from './acl-value.ts'

interface World {
  readonly who: FileCalls
  readonly dir: bigint
  readonly other: bigint
  readonly file: bigint
  readonly second: bigint
}

/** In `dir` are `f` (file) and `sub`, in `other` is `g` (second). */
function world(): World {
  const { root } = fourCallers()
  const [dir, other] = [root.mkdir(1n, 'd'), root.mkdir(1n, 'o')]
  const [file, second] = [root.create(dir, 'f', 0o6755), root.create(other, 'g')]
  root.mkdir(dir, 'sub')
  root.write(file, 0, 'text')
  root.setxattr(file, 'user.a', 'x')
  return { who: root, dir, other, file, second }
}

const nothing = { now: false, ns: 77n }
const now = { now: true, ns: 0n }

/** A call, and the times that it notes: m and c of the file, of its directory `d`, of the other directory `o` and `g` there. */
const calls: readonly (readonly [string, (world: World) => unknown, string])[] = [
  ['stat', ({ who, file }) => who.stat(file), ''],
  ['lookup', ({ who, dir }) => who.lookup(dir, 'f'), ''],
  ['readdir', ({ who, dir }) => who.readdir(dir), ''],
  ['open', ({ who, file }) => who.open(file, 2), ''],
  ['read', ({ who, file }) => who.read(file), ''],
  ['fsync', ({ who, file }) => who.fsync(file), ''],
  ['getxattr', ({ who, file }) => who.getxattr(file, 'user.a'), ''],
  ['open with O_TRUNC', ({ who, file }) => who.open(file, 0o1001), 'f:mc'],
  ['create of what is there, with O_TRUNC', ({ who, dir }) => who.create(dir, 'f', 0o644, { flags: 0o1001 }), 'f:mc'],
  ['create of what is there', ({ who, dir }) => who.create(dir, 'f'), ''],
  ['write', ({ who, file }) => who.write(file, 0, 'x'), 'f:mc'],
  ['write of nothing', ({ who, file }) => who.write(file, 0, ''), ''],
  ['truncate', ({ who, file }) => who.setattr(file, { size: 1n }), 'f:mc'],
  ['truncate to the size it has', ({ who, file }) => who.setattr(file, { size: 4n }), 'f:mc'],
  ['chmod', ({ who, file }) => who.setattr(file, { mode: 0o600 }), 'f:c'],
  ['chmod to the mode it has', ({ who, file }) => who.setattr(file, { mode: 0o6755 }), 'f:c'],
  ['chown', ({ who, file }) => who.setattr(file, { uid: 0, gid: 0 }), 'f:c'],
  ['utimes', ({ who, file }) => who.setattr(file, { atime: nothing, mtime: nothing }), 'f:mc'],
  ['utimes of atime', ({ who, file }) => who.setattr(file, { atime: now }), 'f:c'],
  ['setxattr', ({ who, file }) => who.setxattr(file, 'user.b', 'x'), 'f:c'],
  ['removexattr', ({ who, file }) => who.removexattr(file, 'user.a'), 'f:c'],
  ['an ACL', ({ who, file }) => who.setxattr(file, 'system.posix_acl_access', aclValue('u::r--,g::r--,o::r--')), 'f:c'],
  ['taking no ACL away', ({ who, file }) => who.removexattr(file, 'system.posix_acl_access'), ''],
  ['create', ({ who, dir }) => who.create(dir, 'n'), 'd:mc'],
  ['mkdir', ({ who, dir }) => who.mkdir(dir, 'n'), 'd:mc'],
  ['mknod', ({ who, dir }) => who.mknod(dir, 'n', 0o010600), 'd:mc'],
  ['symlink', ({ who, dir }) => who.symlink(dir, 'n', 'x'), 'd:mc'],
  ['link', ({ who, file, other }) => who.link(file, other, 'n'), 'f:c o:mc'],
  ['unlink', ({ who, dir }) => who.unlink(dir, 'f'), 'f:c d:mc'],
  ['rmdir', ({ who, dir }) => who.rmdir(dir, 'sub'), 'd:mc'],
  ['rename', ({ who, dir }) => who.rename(dir, 'f', dir, 'n'), 'f:c d:mc'],
  ['rename elsewhere', ({ who, dir, other }) => who.rename(dir, 'f', other, 'n'), 'f:c d:mc o:mc'],
  ['rename over another', ({ who, dir, other }) => who.rename(dir, 'f', other, 'g'), 'f:c d:mc o:mc g:c'],
  ['exchange', ({ who, dir, other }) => who.rename(dir, 'f', other, 'g', 2), 'f:c d:mc o:mc g:c'],
  ['rename to itself', ({ who, dir }) => who.rename(dir, 'f', dir, 'f'), ''],
]

void t.test('which times each call notes', async (t) => {
  for (const [what, run, expected] of calls) {
    const made = world()
    const { who, dir, other, file, second } = made
    const inodes = { f: file, d: dir, o: other, g: second }
    const times = () => Object.values(inodes).map((ino) => who.stat(ino))
    const before = times()
    who.nowNs = 9000n
    run(made)
    const after = times()
    const noted = Object.keys(inodes).map((name, at) => {
      const m = before[at]?.mtimeNs === after[at]?.mtimeNs ? '' : 'm'
      const c = before[at]?.ctimeNs === after[at]?.ctimeNs ? '' : 'c'
      return m + c === '' ? '' : `${name}:${m}${c}`
    })
    t.equal(noted.filter((one) => one !== '').join(' '), expected, what)
  }
})
