import type { Command, callers } from './commands.ts'
import { lastByte } from './model-locks.ts'
import type { ModelOperation } from './tree-operation.ts'

const name = (text: string) => Buffer.from(text)
const by =
  (who: keyof typeof callers) =>
  (op: ModelOperation): Command => ({ kind: 'run', who, session: 1n, op })
const [root, ann, dee] = [by('root'), by('ann'), by('dee')]
const nothing = { uid: undefined, gid: undefined, size: undefined, atime: undefined, mtime: undefined, mode: undefined }
const change = { ...nothing, openForWriting: false, killPrivileges: false }
const all = { umask: 0, flags: 2, mode: 0o644 }

const range = (owner: bigint, start: bigint, end: bigint) => ({
  ...{ ino: 7n, owner, flock: false, exclusive: true, start, end },
})

/** A history with every operation of programs in it, of which each file system says the same. */
export const oneOfEach: readonly Command[] = [
  root({ $case: 'setattr', value: { ...change, ino: 1n, mode: 0o1777 } }),
  ann({ $case: 'mkdir', value: { parent: 1n, name: name('d'), mode: 0o750, umask: 0o022 } }), // inode 2
  ann({ $case: 'create', value: { ...all, parent: 2n, name: name('f') } }), // inode 3
  dee({ $case: 'lookup', value: { parent: 2n, name: name('f') } }),
  ann({ $case: 'lookup', value: { parent: 2n, name: name('f') } }),
  ann({
    $case: 'write',
    value: { ino: 3n, offset: 0n, data: Buffer.alloc(9000, 'ab'), append: false, killPrivileges: false },
  }),
  ann({ $case: 'write', value: { ino: 3n, offset: 0n, data: name('end'), append: true, killPrivileges: false } }),
  ann({ $case: 'read', value: { ino: 3n, offset: 8998n, length: 10 } }),
  ann({ $case: 'fsync', value: { ino: 3n } }),
  ann({ $case: 'lseek', value: { ino: 3n, offset: 0n, whence: 4 } }),
  ann({ $case: 'fallocate', value: { ino: 3n, offset: 0n, length: 4096n, mode: 3 } }),
  ann({ $case: 'create', value: { ...all, parent: 1n, name: name('copy') } }), // inode 4
  ann({ $case: 'copyRange', value: { source: 3n, sourceOffset: 4096n, ino: 4n, offset: 0n, length: 100n } }),
  ann({ $case: 'open', value: { ino: 4n, flags: 0o1001, killPrivileges: false } }),
  ann({ $case: 'setattr', value: { ...change, ino: 4n, size: 10n, mtime: { now: false, ns: 5n } } }),
  dee({ $case: 'setattr', value: { ...change, ino: 4n, mode: 0o600 } }),
  ann({ $case: 'getattr', value: { ino: 4n } }),
  ann({ $case: 'access', value: { ino: 4n, mask: 2 } }),
  dee({ $case: 'access', value: { ino: 4n, mask: 2 } }),
  ann({ $case: 'symlink', value: { parent: 2n, name: name('s'), target: name('../copy') } }), // inode 5
  ann({ $case: 'readlink', value: { ino: 5n } }),
  ann({ $case: 'mknod', value: { parent: 2n, name: name('p\xff'), mode: 0o010600, umask: 0, rdev: 0 } }), // inode 6
  ann({ $case: 'link', value: { ino: 4n, parent: 2n, name: name('l') } }),
  ann({ $case: 'rename', value: { parent: 2n, name: name('f'), newParent: 2n, newName: name('l'), flags: 2 } }),
  ann({ $case: 'rename', value: { parent: 2n, name: name('f'), newParent: 2n, newName: name('l'), flags: 1 } }),
  dee({ $case: 'unlink', value: { parent: 1n, name: name('copy') } }),
  ann({ $case: 'unlink', value: { parent: 1n, name: name('copy') } }),
  ann({ $case: 'rmdir', value: { parent: 1n, name: name('d') } }),
  ann({ $case: 'readdir', value: { ino: 2n, cookie: 0n, count: 100, attributes: false } }),
  ann({ $case: 'tmpfile', value: { ...all, parent: 1n } }), // inode 7
  ann({ $case: 'link', value: { ino: 7n, parent: 1n, name: name('named') } }),
  root({ $case: 'setxattr', value: { ino: 7n, name: name('trusted.t'), value: name('1'), flags: 1 } }),
  root({ $case: 'getxattr', value: { ino: 7n, name: name('trusted.t') } }),
  root({ $case: 'listxattr', value: { ino: 7n } }),
  root({ $case: 'removexattr', value: { ino: 7n, name: name('trusted.t') } }),
  root({ $case: 'removexattr', value: { ino: 7n, name: name('trusted.t') } }),
  ann({ $case: 'lock', value: { range: range(7n, 0n, 9n), handle: 20n, wait: 0n } }),
  ann({ $case: 'lock', value: { range: range(8n, 9n, lastByte), handle: 21n, wait: 0n } }),
  ann({ $case: 'getLock', value: { range: range(8n, 9n, lastByte) } }),
  ann({ $case: 'unlock', value: { range: range(7n, 5n, 9n) } }),
  ann({ $case: 'lock', value: { range: range(8n, 9n, lastByte), handle: 21n, wait: 0n } }),
  ann({ $case: 'lock', value: { range: range(8n, 4n, 5n), handle: 21n, wait: 0n } }),
  root({ $case: 'statfs', value: {} }),
]
