import fc from 'fast-check'
import type { Caller } from '../../proto/generated/file-service.ts'
import { writeAcl } from './model-acl.ts'
import { bytesMax, lastByte } from './model-locks.ts'
import type { ModelOperation } from './tree-operation.ts'

/**
 * One step of a random history: an operation of somebody, the removal of all orphans, or the end of a session's locks. With
 * `pick`, the operation is aimed (aim.ts) at what is there when its turn comes.
 */
export type Command =
  | {
      readonly kind: 'run'
      readonly who: keyof typeof callers
      readonly session: bigint
      readonly op: ModelOperation
      readonly pick?: number
      /** Nobody is given a hold now. */
      readonly noHolds?: boolean
    }
  | { readonly kind: 'reap' }
  | { readonly kind: 'end'; readonly session: bigint }

/** root; an owner; one who shares a group with her; one whose own group that is; one who has nothing to do with them. */
export const callers = {
  root: { uid: 0, gid: 0, groups: [], pid: 1 },
  ann: { uid: 1000, gid: 1000, groups: [50], pid: 2 },
  bob: { uid: 1001, gid: 1001, groups: [7, 50], pid: 3 },
  cem: { uid: 1002, gid: 50, groups: [], pid: 4 },
  dee: { uid: 1003, gid: 1003, groups: [], pid: 5 },
} as const satisfies Record<string, Caller & { groups: readonly number[] }>

/** Two hosts. */
export const sessions = [1n, 2n] as const

type Values = { [K in ModelOperation['$case']]: Extract<ModelOperation, { $case: K }>['value'] }

/** Few inodes and few names, so that operations meet. Low numbers, which are likely to be there, come most often. */
const ino = fc
  .oneof(
    { weight: 6, arbitrary: fc.integer({ min: 1, max: 4 }) },
    { weight: 4, arbitrary: fc.integer({ min: 1, max: 12 }) },
    { weight: 1, arbitrary: fc.constant(99) },
  )
  .map(BigInt)
const name = fc
  .oneof(
    { weight: 60, arbitrary: fc.constantFrom('a', 'b', 'c', 'd', '\xff\x80') },
    { weight: 1, arbitrary: fc.constantFrom('.', '..', '', 'x/y', 'x\0', 'n'.repeat(255), 'n'.repeat(256)) },
  )
  .map((text) => Buffer.from(text, 'latin1'))
const bits = fc.constantFrom(
  0o777,
  0o755,
  0o644,
  0o640,
  0o600,
  0o700,
  0o1777,
  0o2775,
  0o2755,
  0o4755,
  0o2644,
  0o6711,
  0o000,
)
const umask = fc.constantFrom(0, 0, 0, 0o022, 0o077)
const size = fc.oneof(fc.integer({ min: 0, max: 40 }), fc.constantFrom(0, 1, 4095, 4096, 4097, 5000, 8192, 12000))
const hugeSize = fc.constantFrom(2n ** 44n, 2n ** 63n, 2n ** 64n - 1n)
const bigSize = fc.oneof({ weight: 20, arbitrary: size.map(BigInt) }, { weight: 1, arbitrary: hugeSize })
const content = fc
  .tuple(fc.constantFrom(0, 1, 3, 10, 4000, 4096, 4097, 9000), fc.integer({ min: 1, max: 255 }))
  .map(([length, seed]) => Buffer.alloc(length, Buffer.from([seed, seed + 1, 1, 3 * seed, 255 - seed])))
const openFlags = fc.constantFrom(0, 1, 2, 3, 0o2001, 0o200, 0o1000, 0o1001, 0o1002, 0o1202, 0o40, 0o1000000)
const rarely = fc.integer({ min: 0, max: 9 }).map((value) => value === 0)
const xattrName = fc
  .oneof(
    { weight: 8, arbitrary: fc.constantFrom('user.a', 'user.b', 'trusted.t', 'security.s') },
    { weight: 2, arbitrary: fc.constantFrom('security.capability') },
    { weight: 4, arbitrary: fc.constantFrom('system.posix_acl_access', 'system.posix_acl_default') },
    {
      weight: 1,
      arbitrary: fc.constantFrom('user.', '', 'system.posix_acl_', 'other', `user.${'x'.repeat(251)}`),
    },
  )
  .map((text) => Buffer.from(text, 'latin1'))
const id = fc.constantFrom(0, 1000, 1001, 50, 7, 1003)
const aclName = fc
  .constantFrom('system.posix_acl_access', 'system.posix_acl_access', 'system.posix_acl_default')
  .map((text) => Buffer.from(text))
const digit = fc.constantFrom(0, 1, 4, 5, 6, 7, 7)
const named = fc.uniqueArray(fc.tuple(id, digit), { maxLength: 2, selector: ([who]) => who })
/** Mostly lists that are in order; one that lacks a mask it needs is not. */
const aclValue = fc
  .oneof(
    {
      weight: 20,
      arbitrary: fc.tuple(digit, named, digit, named, fc.option(digit, { freq: 6, nil: undefined }), digit),
    },
    { weight: 1, arbitrary: fc.constantFrom('', '\x02\0\0\0', '\x01\0\0\0', '\x02\0\0\0\x01\0\x07\0\0\0\0') },
  )
  .map((list) => {
    if (typeof list === 'string') return Buffer.from(list, 'latin1')
    const [owner, users, group, groups, mask, other] = list
    return Buffer.from(
      writeAcl({ owner, users: new Map(users), group, groups: new Map(groups), mask, other }),
      'latin1',
    )
  })
/** Near the times of the histories, a day before them, and the like. */
const timeNs = fc.oneof(
  fc.bigInt({ min: 0n, max: 60_000n }),
  fc.bigInt({ min: -86_400_000_060_000n, max: -86_400_000_000_000n }),
  fc.bigInt({ min: -(2n ** 47n), max: 2n ** 62n }),
)
const timeChange = fc.record({ now: fc.boolean(), ns: timeNs })
const maybe = <T>(value: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> => fc.option(value, { nil: undefined, freq: 3 })

const holdNumber = fc.constantFrom(1n, 2n)
/** Bytes that are told apart, and all that follow; now and then a range of no bytes. */
const lockRange = fc
  .tuple(
    fc.record({
      ino,
      owner: fc.constantFrom(7n, 8n),
      flock: fc.constantFrom(false, false, true),
      exclusive: fc.boolean(),
    }),
    fc.nat(bytesMax - 1),
    fc.nat(bytesMax - 1),
    fc.integer({ min: 0, max: 29 }),
  )
  .map(([rest, a, b, kind]) => {
    const start = BigInt(Math.min(a, b))
    if (kind === 0) return { ...rest, start: start + 1n, end: start }
    if (kind === 1) return { ...rest, start, end: lastByte + 1n }
    if (rest.flock && kind < 26) return { ...rest, owner: 7n, start: 0n, end: lastByte }
    return { ...rest, start, end: kind < 12 ? lastByte : BigInt(Math.max(a, b)) }
  })
const handle = fc.constantFrom(20n, 21n)

const device = fc.constantFrom(0o020000, 0o060000, 0o010000, 0o140000, 0o100000, 0, 0o040000, 0o120000, 0o150000)

const values: { [K in keyof Values]: fc.Arbitrary<Values[K]> } = {
  lookup: fc.record({ parent: ino, name }),
  getattr: fc.record({ ino }),
  setattr: fc
    .tuple(
      fc.record({ mode: maybe(bits), uid: maybe(id), gid: maybe(id), size: maybe(bigSize) }),
      fc.record({ atime: maybe(timeChange), mtime: maybe(timeChange) }),
      fc.record({ ino, openForWriting: rarely, killPrivileges: rarely }),
      fc.constantFrom('chmod', 'chown', 'truncate', 'truncate', 'utimes', 'all', 'chattr'),
      fc.constantFrom(0, 0, 0, 0, 0x10, 0x20, 0x80, 0x30, 0x4000),
    )
    .map(([all, times, rest, kind, flags]) => ({
      flags: kind === 'chattr' ? flags : undefined,
      mode: kind === 'chmod' || kind === 'all' ? all.mode : undefined,
      uid: kind === 'chown' || kind === 'all' ? all.uid : undefined,
      gid: kind === 'chown' || kind === 'all' ? all.gid : undefined,
      size: kind === 'truncate' || kind === 'all' ? all.size : undefined,
      atime: kind === 'utimes' || kind === 'all' ? times.atime : undefined,
      mtime: kind !== 'chmod' && kind !== 'chown' ? times.mtime : undefined,
      ...rest,
    })),
  readlink: fc.record({ ino }),
  symlink: fc.record({
    parent: ino,
    name,
    target: fc.constantFrom('a', '../b', '', '\0', 't'.repeat(4095), 't'.repeat(4096)).map((text) => Buffer.from(text)),
  }),
  mknod: fc.record({
    parent: ino,
    name,
    mode: fc.tuple(device, bits).map(([a, b]) => a | b),
    umask,
    rdev: fc.constantFrom(0, 259),
  }),
  mkdir: fc.record({ parent: ino, name, mode: bits, umask }),
  unlink: fc.record({ parent: ino, name }),
  rmdir: fc.record({ parent: ino, name }),
  rename: fc.record({
    parent: ino,
    name,
    newParent: ino,
    newName: name,
    flags: fc.constantFrom(0, 0, 0, 0, 0, 0, 1, 2, 2, 2, 3, 4, 5, 6, 8),
  }),
  link: fc.record({ ino, parent: ino, name }),
  open: fc.record({ ino, flags: openFlags, killPrivileges: rarely }),
  create: fc.record({ parent: ino, name, mode: bits, umask, flags: openFlags, take: maybe(holdNumber) }),
  read: fc.record({ ino, offset: bigSize, length: size }),
  write: fc.record({
    ino,
    offset: bigSize,
    data: content,
    append: rarely,
    killPrivileges: rarely,
    take: maybe(holdNumber),
    hold: fc.option(holdNumber, { nil: undefined, freq: 5 }),
    ageNs: fc.constantFrom(undefined, undefined, undefined, 0n, 1500n),
  }),
  fsync: fc.record({ ino }),
  readdir: fc.record({ ino, cookie: fc.constant(0n), count: fc.constant(100), attributes: fc.constant(false) }),
  statfs: fc.record({}),
  access: fc.record({ ino, mask: fc.integer({ min: 0, max: 8 }) }),
  getxattr: fc.record({ ino, name: xattrName }),
  setxattr: fc.oneof(
    {
      weight: 2,
      arbitrary: fc.record({
        ino,
        name: xattrName,
        value: fc.constantFrom(0, 5, 300, 65537).map((length) => Buffer.alloc(length, 1)),
        flags: fc.constantFrom(0, 0, 0, 1, 2, 3, 4),
      }),
    },
    {
      weight: 3,
      arbitrary: fc.record({ ino, name: aclName, value: aclValue, flags: fc.constantFrom(0, 0, 0, 0, 1, 2) }),
    },
  ),
  listxattr: fc.record({ ino }),
  removexattr: fc.record({ ino, name: xattrName }),
  tmpfile: fc.record({ parent: ino, mode: bits, umask, flags: fc.constantFrom(2, 0o202) }),
  lseek: fc.record({ ino, offset: bigSize, whence: fc.constantFrom(3, 4, 3, 4, 2) }),
  fallocate: fc.record({ ino, offset: bigSize, length: bigSize, mode: fc.constantFrom(0, 1, 3, 3, 3, 16, 16, 17, 8) }),
  copyRange: fc.record({ source: ino, sourceOffset: bigSize, ino, offset: bigSize, length: bigSize }),
  lock: fc.record({ range: lockRange, handle, wait: fc.constant(0n) }),
  unlock: fc.record({ range: lockRange }),
  releaseLocks: fc.record({ ino, handle }),
  getLock: fc.record({ range: lockRange }),
  awaitLock: fc.record({ range: lockRange, wait: fc.constant(1n), leave: rarely }),
  noteReads: fc.record({
    reads: fc.uniqueArray(fc.record({ ino, atNs: timeNs, wasNs: maybe(timeNs) }), {
      maxLength: 3,
      selector: (read) => read.ino,
    }),
  }),
  releaseHolds: fc.record({ holds: fc.array(fc.record({ ino, number: holdNumber }), { minLength: 1, maxLength: 2 }) }),
  awaitRelease: fc.record({ inos: fc.array(ino, { minLength: 1, maxLength: 2 }) }),
}

/** How often each comes. */
export const weights: { [K in keyof Values]: number } = {
  mkdir: 12,
  create: 10,
  rename: 12,
  write: 10,
  setattr: 10,
  link: 5,
  unlink: 5,
  rmdir: 5,
  mknod: 3,
  symlink: 2,
  setxattr: 8,
  removexattr: 1,
  open: 3,
  lookup: 2,
  read: 2,
  readdir: 1,
  access: 1,
  getxattr: 2,
  listxattr: 1,
  getattr: 2,
  readlink: 2,
  fsync: 1,
  statfs: 1,
  tmpfile: 2,
  lseek: 3,
  fallocate: 6,
  copyRange: 4,
  lock: 10,
  unlock: 4,
  releaseLocks: 1,
  getLock: 2,
  awaitLock: 1,
  noteReads: 4,
  releaseHolds: 2,
  awaitRelease: 1,
}

const oneOf = (kinds: readonly (keyof Values)[]): fc.Arbitrary<ModelOperation> =>
  fc.oneof(
    ...kinds.map(($case) => ({
      weight: weights[$case],
      arbitrary: (values[$case] as fc.Arbitrary<never>).map((value) => ({ $case, value }) as ModelOperation),
    })),
  )
const who = fc.constantFrom<keyof typeof callers>('root', 'root', 'ann', 'ann', 'ann', 'bob', 'cem', 'dee')

const session = fc.constantFrom(...sessions)
const run = {
  kind: fc.constant('run' as const),
  who,
  session,
  op: oneOf(Object.keys(values) as (keyof Values)[]),
  noHolds: rarely,
}

const command: fc.Arbitrary<Command> = fc.oneof(
  { weight: 60, arbitrary: fc.record({ ...run, pick: fc.nat(9999) }) },
  { weight: 6, arbitrary: fc.record(run) },
  { weight: 1, arbitrary: fc.constant({ kind: 'reap' as const }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('end' as const), session }) },
)

/** Two hosts at one file: what they have of it meets in no other stories. */
const dispute: fc.Arbitrary<readonly Command[]> = fc
  .array(
    fc.oneof(
      {
        weight: 5,
        arbitrary: fc.record({
          ...run,
          op: oneOf(['lock', 'lock', 'lock', 'unlock', 'getLock', 'write', 'releaseHolds']),
          pick: fc.nat(9),
        }),
      },
      { weight: 1, arbitrary: command },
    ),
    { maxLength: 16, size: 'max' },
  )
  .map((commands) => [madeFile, ...commands])

const madeFile: Command = {
  kind: 'run',
  who: 'ann',
  session: 1n,
  op: {
    $case: 'create',
    value: { parent: 1n, name: Buffer.from('a'), mode: 0o666, umask: 0, flags: 2 },
  },
}

/** Most are short: they are quick, and what a short one can find it finds more often. Some need a longer story. */
const commands: fc.Arbitrary<readonly Command[]> = fc.oneof(
  { weight: 1, arbitrary: dispute },
  { weight: 3, arbitrary: fc.array(command, { maxLength: 16, size: 'max' }) },
  { weight: 1, arbitrary: fc.array(command, { maxLength: 60, size: 'max' }) },
)

/** Histories begin with what is most often there: a root that all may write to, of one kind or other. */
export const histories: fc.Arbitrary<readonly Command[]> = fc
  .tuple(fc.constantFrom(0o777, 0o777, 0o1777, 0o2777, 0o755), commands)
  .map(([mode, commands]) => [openRoot(mode), ...commands])

function openRoot(mode: number): Command {
  const rest = { uid: undefined, gid: 50, size: undefined, atime: undefined, mtime: undefined }
  const value = { ino: 1n, mode, ...rest, openForWriting: false, killPrivileges: false }
  return { kind: 'run', who: 'root', session: 1n, op: { $case: 'setattr', value } }
}
