import t from 'tap'
import {
  aclAfterChmod,
  decodeAcl,
  encodeAcl,
  inheritedAcl,
  isMinimal,
  modeOfAcl,
} from '../../../server/filesystem/acl.ts'
import { permitted } from '../../../server/filesystem/permission.ts'
import { errnoOf, type FileCalls, fourCallers } from '../../fixtures/file-calls.ts'
import { aclOf, aclText, aclValue, rightsOf } from './acl-value.ts'
import { inode } from './inode-of.ts'

const access = 'system.posix_acl_access'
const defaults = 'system.posix_acl_default'

const values = [
  ['u::rwx,g::r-x,o::r--', 'ok'],
  ['u::rwx,u:5:r--,u:9:---,g::r-x,g:7:-w-,m::rwx,o::r--', 'ok'],
  ['u::rwx,g::r-x,m::---,o::r--', 'ok'],
  ['u:5:r--,u::rwx,g::r-x,m::rwx,o::r--', 'EINVAL', 'out of order'],
  ['u::rwx,u::rwx,g::r-x,o::r--', 'EINVAL', 'twice the owner'],
  ['u::rwx,g::r-x,o::r--,o::r--', 'EINVAL', 'twice the others'],
  ['u::rwx,g::r-x', 'EINVAL', 'no others'],
  ['g::r-x,o::r--', 'EINVAL', 'no owner'],
  ['u::rwx,o::r--', 'EINVAL', 'no group'],
  ['u::rwx,u:5:r--,g::r-x,o::r--', 'EINVAL', 'somebody named but no mask'],
  ['u::rwx,g::r-x,g:5:r--,o::r--', 'EINVAL', 'a group named but no mask'],
  ['u::rwx,u:4294967295:r--,g::r-x,m::rwx,o::r--', 'EINVAL', 'nobody named'],
] as const

void t.test('values of ACLs', async (t) => {
  for (const [text, expected, why] of values) {
    const found = errnoOf(() => t.equal(aclText(decodeAcl(aclValue(text))), text, 'comes back as it was'))
    t.equal(found ?? 'ok', expected, why ?? text)
  }
  const [, ...bytes] = encodeAcl(aclOf('u::rwx,g::r-x,o::r--'))
  const broken = [
    ['', 'EINVAL', 'no header'],
    ['0200', 'EINVAL', 'half a header'],
    ['01000000', 'EOPNOTSUPP', 'another version'],
    [`02${Buffer.from(bytes).toString('hex')}00`, 'EINVAL', 'half an entry'],
    ['02000000 01000800ffffffff 04000000ffffffff 20000000ffffffff', 'EINVAL', 'a right that there is not'],
    ['02000000 01000000ffffffff 03000000ffffffff 20000000ffffffff', 'EINVAL', 'an unknown kind'],
  ] as const
  for (const [hex, expected, why] of broken) {
    t.equal(
      errnoOf(() => decodeAcl(Buffer.from(hex.replaceAll(' ', ''), 'hex'))),
      expected,
      why,
    )
  }
  t.same(decodeAcl(Buffer.from([2, 0, 0, 0])), [], 'no entries take the ACL away')
})

/** Of owner 1000 and group 50. Rights: the mask of permission bits; who: uid and groups. */
const rich = 'u::rw-,u:1001:rwx,u:1002:---,g::r-x,g:60:-w-,g:61:r--,m::rw-,o::--x'
const decisions = [
  [rich, 1000, [60], 'rw-', true, 'the owner has the owner’s'],
  [rich, 1000, [60], '--x', false, 'and no other'],
  [rich, 1001, [], 'rw-', true, 'a named user'],
  [rich, 1001, [], '--x', false, 'what the mask lacks'],
  [rich, 1002, [50, 60], 'r--', false, 'a named user who is refused, whatever its groups'],
  [rich, 1003, [50], 'r--', true, 'the owning group'],
  [rich, 1003, [50], '--x', false, 'and what the mask lacks'],
  [rich, 1003, [60], '-w-', true, 'a named group'],
  [rich, 1003, [60, 61], 'r--', true, 'any of several groups'],
  [rich, 1003, [60, 61], 'rw-', false, 'but one must allow all of it'],
  [rich, 1003, [60], '--x', false, 'whom a group refuses is not another'],
  [rich, 1003, [99], '--x', true, 'another'],
  [rich, 1003, [99], 'r--', false, 'has no more'],
  [rich, 0, [], 'rwx', true, 'root, if anybody may execute'],
  ['u::rw-,u:1001:rw-,g::r--,m::r--,o::rw-', 1001, [], '-w-', false, 'the mask bounds a named user'],
  ['u::rw-,u:1001:---,g::r--,m::r--,o::rw-', 1001, [], 'r--', false, 'and an empty entry refuses'],
  ['u::rw-,u:1001:rw-,g::rw-,m::---,o::r--', 1001, [], 'r--', true, 'an empty mask: as Linux, it is another'],
  ['u::rw-,u:1001:rw-,g::rw-,m::---,o::r--', 1003, [50], 'r--', false, 'or of the group, which has nothing'],
] as const

void t.test('who may do what', async (t) => {
  for (const [text, uid, groups, wanted, expected, why] of decisions) {
    const acl = aclOf(text)
    const node = { ...inode, mode: 0o100000 | modeOfAcl(acl), uid: 1000, gid: 50 }
    t.equal(
      permitted(node, { uid, gid: 9999, groups: [...groups], pid: 1 }, rightsOf(wanted), acl),
      expected,
      `${why}: ${wanted}`,
    )
  }
  const own = { uid: 1003, gid: 60, groups: [], pid: 1 }
  t.ok(
    permitted({ ...inode, mode: 0o100661, uid: 1000, gid: 50 }, own, 2, aclOf(rich)),
    'the caller’s own group counts',
  )
})

void t.test('permission bits and ACLs follow each other', async (t) => {
  const named = 'u::rwx,u:5:rw-,g::r-x,m::rw-,o::r--'
  t.equal(modeOfAcl(aclOf(named)).toString(8), '764', 'the group’s bits are the mask')
  t.equal(modeOfAcl(aclOf('u::rwx,g::r-x,o::r--')).toString(8), '754')
  t.equal(aclText(aclAfterChmod(aclOf(named), 0o6351)), 'u::-wx,u:5:rw-,g::r-x,m::r-x,o::--x')
  t.equal(aclText(aclAfterChmod(aclOf('u::rwx,g::r-x,o::r--'), 0o640)), 'u::rw-,g::r--,o::---')
  t.equal(aclText(inheritedAcl(aclOf(named), 0o640)), 'u::rw-,u:5:rw-,g::r-x,m::r--,o::---')
  t.equal(aclText(inheritedAcl(aclOf('u::rwx,g::rwx,o::r-x'), 0o666)), 'u::rw-,g::rw-,o::r--')
  t.notOk(isMinimal(aclOf('u::rwx,g::r-x,m::rwx,o::r--')), 'a mask alone is more than the mode says')
})

type Who = ReturnType<typeof fourCallers>
const aclIn = (who: FileCalls, ino: bigint, name: string): string => {
  const errno = errnoOf(() => who.getxattr(ino, name))
  return errno ?? aclText(decodeAcl(who.getxattr(ino, name)))
}

void t.test('setting, reading and removing', async (t) => {
  const { ann, bob, dee, root } = fourCallers()
  const file = ann.create(1n, 'f', 0o640)
  const dir = ann.mkdir(1n, 'd', 0o750)
  const link = ann.symlink(1n, 's', 'f')
  const one = aclValue('u::rw-,u:1003:r--,g::r--,m::r--,o::---')
  const rows = [
    ['not one’s own', 'EPERM', () => dee.setxattr(file, access, one)],
    ['nor to take away', 'EPERM', () => dee.removexattr(file, access)],
    ['a default of a file', 'EACCES', () => ann.setxattr(file, defaults, one)],
    ['no default of a file', undefined, () => ann.setxattr(file, defaults, Buffer.from([2, 0, 0, 0]))],
    ['of a symlink', 'EOPNOTSUPP', () => root.setxattr(link, access, one)],
    ['to read a symlink’s', 'EOPNOTSUPP', () => root.getxattr(link, access)],
    ['an invalid one', 'EINVAL', () => ann.setxattr(file, access, '\x02\0\0\0x')],
    ['another of system.', 'EOPNOTSUPP', () => root.setxattr(file, 'system.x', 'y')],
    ['one that is not there', 'ENODATA', () => ann.getxattr(file, access)],
    ['to take away what is not there', undefined, () => ann.removexattr(file, access)],
    ['one’s own', undefined, () => ann.setxattr(file, access, one)],
    ['anybody reads it', undefined, () => bob.getxattr(file, access)],
  ] as const
  for (const [what, errno, run] of rows) t.equal(errnoOf(run), errno, what)
  t.same(root.listxattr(file), [access])
  t.equal(
    errnoOf(() => dee.open(file, 0)),
    undefined,
    'whom it names may',
  )
  t.equal(
    errnoOf(() => dee.open(file, 1)),
    'EACCES',
  )
  t.equal(
    errnoOf(() => bob.open(file, 0)),
    'EACCES',
    'whom it does not name may not',
  )

  ann.nowNs = 7n
  ann.setattr(file, { mode: 0o600 })
  t.equal(aclIn(ann, file, access), 'u::rw-,u:1003:r--,g::r--,m::---,o::---', 'chmod changes the mask')
  t.equal(
    errnoOf(() => dee.open(file, 0)),
    'EACCES',
  )
  ann.setxattr(file, access, aclValue('u::rw-,u:1003:rw-,g::---,m::rw-,o::r--'))
  t.match(ann.stat(file), { mode: 0o100664, ctimeNs: 7n, mtimeNs: 1000n }, 'the ACL changes the mode')
  ann.removexattr(file, access)
  t.equal(ann.stat(file).mode, 0o100664, 'which stays when it is taken away')
  t.same(root.listxattr(file), [])
  ann.setxattr(file, access, aclValue('u::rwx,g::-w-,o::--x'))
  t.match([ann.stat(file).mode, ann.listxattr(file)], [0o100721, []], 'one that the mode can say is not kept')

  root.setattr(dir, { mode: 0o2750 })
  ann.setxattr(dir, access, one)
  t.equal(ann.stat(dir).mode & 0o7000, 0o2000, 'set-gid of one’s own group stays')
  root.setattr(dir, { gid: 77 })
  ann.setxattr(dir, access, aclValue('u::rwx,u:1003:r--,g::r--,m::r--,o::---'))
  t.equal(ann.stat(dir).mode & 0o7000, 0, 'of another’s not')
})

/** In a directory with this default ACL: what is made, with which mode and umask; its mode, its ACL, and the default. */
const long = 'u::rwx,u:1003:rwx,g::r-x,m::rwx,o::---'
const short = 'u::rwx,g::r-x,o::r--'
const made: readonly (readonly [string, string, (who: Who, dir: bigint) => bigint, number, string, string])[] = [
  [
    'a file',
    long,
    ({ ann }, dir) => ann.create(dir, 'f', 0o666, { umask: 0o077 }),
    0o100660,
    'u::rw-,u:1003:rwx,g::r-x,m::rw-,o::---',
    'ENODATA',
  ],
  [
    'a closed file',
    long,
    ({ ann }, dir) => ann.create(dir, 'f', 0o600),
    0o100600,
    'u::rw-,u:1003:rwx,g::r-x,m::---,o::---',
    'ENODATA',
  ],
  [
    'a directory',
    long,
    ({ ann }, dir) => ann.mkdir(dir, 'd', 0o777, 0o077),
    0o040770,
    'u::rwx,u:1003:rwx,g::r-x,m::rwx,o::---',
    long,
  ],
  [
    'a FIFO',
    long,
    ({ ann }, dir) => ann.mknod(dir, 'p', 0o010640),
    0o010640,
    'u::rw-,u:1003:rwx,g::r-x,m::r--,o::---',
    'ENODATA',
  ],
  ['a symlink', long, ({ ann }, dir) => ann.symlink(dir, 's', 't'), 0o120777, 'EOPNOTSUPP', 'EOPNOTSUPP'],
  [
    'a file by a short one',
    short,
    ({ ann }, dir) => ann.create(dir, 'f', 0o666, { umask: 0o077 }),
    0o100644,
    'ENODATA',
    'ENODATA',
  ],
  [
    'a directory by a short one',
    short,
    ({ ann }, dir) => ann.mkdir(dir, 'd', 0o777, 0o077),
    0o040754,
    'ENODATA',
    short,
  ],
]

void t.test('what is made inherits', async (t) => {
  for (const [what, acl, make, mode, own, next] of made) {
    const world = fourCallers()
    const dir = world.ann.mkdir(1n, 'dir', 0o755)
    world.ann.setxattr(dir, defaults, aclValue(acl))
    const ino = make(world, dir)
    t.equal(world.ann.stat(ino).mode.toString(8), mode.toString(8), what)
    t.equal(aclIn(world.ann, ino, access), own, what)
    t.equal(aclIn(world.ann, ino, defaults), next, what)
  }
})

/** Where each check looks: dee is let in by an ACL alone, or refused by one alone. */
void t.test('every check asks the ACL', async (t) => {
  const operations: readonly (readonly [string, (who: FileCalls, dir: bigint, file: bigint) => unknown])[] = [
    ['lookup', (who, dir) => who.lookup(dir, 'f')],
    ['create', (who, dir) => who.create(dir, 'new')],
    ['mkdir', (who, dir) => who.mkdir(dir, 'new')],
    ['mknod', (who, dir) => who.mknod(dir, 'new', 0o010600)],
    ['symlink', (who, dir) => who.symlink(dir, 'new', 'x')],
    ['link', (who, dir, file) => who.link(file, dir, 'new')],
    ['unlink', (who, dir) => who.unlink(dir, 'f')],
    ['rmdir', (who, dir) => who.rmdir(dir, 'empty')],
    ['rename', (who, dir) => who.rename(dir, 'f', dir, 'g')],
    ['open', (who, _dir, file) => who.open(file, 2)],
    ['access', (who, _dir, file) => who.access(file, 6)],
    ['truncate', (who, _dir, file) => who.setattr(file, { size: 0n })],
    ['touch', (who, _dir, file) => who.setattr(file, { atime: { now: true, ns: 0n }, mtime: { now: true, ns: 0n } })],
    ['getxattr', (who, _dir, file) => who.getxattr(file, 'user.a')],
    ['setxattr', (who, _dir, file) => who.setxattr(file, 'user.b', 'x')],
  ]
  for (const [acl, mode, expected] of [
    ['u::rwx,u:1003:rwx,g::---,m::rwx,o::---', 0o700, undefined],
    ['u::rwx,u:1003:---,g::rwx,m::rwx,o::rwx', 0o777, 'EACCES'],
  ] as const) {
    for (const [what, run] of operations) {
      const { ann, dee } = fourCallers()
      const dir = ann.mkdir(1n, 'd', mode)
      const file = ann.create(dir, 'f', mode)
      ann.mkdir(dir, 'empty')
      ann.setxattr(file, 'user.a', 'x')
      for (const ino of [dir, file]) ann.setxattr(ino, access, aclValue(acl))
      t.equal(
        errnoOf(() => run(dee, dir, file)),
        expected,
        `${what}: ${expected ?? 'allowed'}`,
      )
    }
  }
})
