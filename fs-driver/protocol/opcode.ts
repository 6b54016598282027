import type { Body } from './body.ts'
import { MalformedError } from './body.ts'
import { decodeIoctl } from './ioctl.ts'
import type { Negotiated } from './negotiate.ts'
import { has, transferMax } from './negotiate.ts'
import { decodeSetattr } from './setattr.ts'

export interface Row {
  readonly code: number
  /** false: the kernel wants no answer, and takes none. */
  readonly answered: boolean
  readonly decode: (body: Body, negotiated: Negotiated) => object
}

const nothing = (): object => ({})
const named = (b: Body) => ({ name: b.name() })

/** Decodes OPEN and OPENDIR. `killPrivileges`: FUSE_OPEN_KILL_SUIDGID. */
const opening = (b: Body) => ({ flags: b.u32(), killPrivileges: (b.u32() & 1) !== 0 })

/** Decodes READ, READDIR, READDIRPLUS. `flags`: of the open file, as they are now. Longer than the greatest transfer is nothing the kernel asks for. */
const reading = (b: Body) => {
  const args = { fh: b.u64(), offset: b.u64(), length: b.u32() }
  if (args.length > transferMax) throw new MalformedError(`${args.length} bytes asked for at once`)
  b.skip(12) // read_flags, lock_owner
  const flags = b.u32()
  b.skip(4)
  return { ...args, flags }
}

/** Decodes TMPFILE, and CREATE up to its name. TMPFILE's is "/", and means nothing. */
const creating = (b: Body) => ({ flags: b.u32(), mode: b.u32(), umask: b.u32(), openFlags: b.u32() })

const copying = (b: Body) => {
  const [fh, offset, targetIno, targetFh] = [b.u64(), b.u64(), b.u64(), b.u64()]
  const [targetOffset, length] = [b.u64(), b.u64()]
  b.skip(8) // flags: none are defined
  return { fh, offset, targetIno, targetFh, targetOffset, length }
}

const closing = (b: Body) => ({ fh: b.u64(), flags: b.u32(), releaseFlags: b.u32(), lockOwner: b.u64() })
const syncing = (b: Body) => ({ fh: b.u64(), dataOnly: (b.u32() & 1) !== 0 })

/** fuse_lk_in: GETLK, SETLK, SETLKW. `unlock`: F_UNLCK, in SETLK and SETLKW; `flock`: FUSE_LK_FLOCK. */
const locking = (b: Body) => {
  const [fh, owner, start, end, type] = [b.u64(), b.u64(), b.u64(), b.u64(), b.u32()]
  if (type > 2) throw new MalformedError(`a lock of type ${type}`)
  const [pid, flags] = [b.u32(), b.u32()]
  return { fh, owner, start, end, exclusive: type === 1, unlock: type === 2, pid, flock: (flags & 1) !== 0 }
}

const asking = (b: Body) => ({ length: b.u32(), padding: b.u32() })

/** WRITE.write_flags. Source: FUSE_WRITE_CACHE, FUSE_WRITE_KILL_SUIDGID. */
const writeFlags = { cache: 1, killPrivileges: 4 } as const

const writing = (b: Body) => {
  const [fh, offset, length, how] = [b.u64(), b.u64(), b.u32(), b.u32()]
  b.skip(8) // lock_owner
  const flags = b.u32()
  b.skip(4)
  return {
    fh,
    offset,
    /** Of the open file; 0 for pages that the kernel writes back. */
    flags,
    fromCache: (how & writeFlags.cache) !== 0,
    killPrivileges: (how & writeFlags.killPrivileges) !== 0,
    /** In the frame, see Body.bytes. */
    data: b.bytes(length),
  }
}

const initializing = (b: Body) => {
  const [major, minor, maxReadahead, low] = [b.u32(), b.u32(), b.u32(), b.u32()]
  const high = b.left >= 4 ? b.u32() : 0 // sent since 7.36
  return { major, minor, maxReadahead, flags: BigInt(low) | (BigInt(high) << 32n) }
}

const settingXattr = (b: Body, negotiated: Negotiated) => {
  const [length, flags] = [b.u32(), b.u32()]
  if (has(negotiated, 'SETXATTR_EXT')) b.skip(8) // setxattr_flags (ACLs only), padding
  const name = b.name()
  return { flags, name, value: Buffer.from(b.bytes(length)) }
}

const forgettingMany = (b: Body) => {
  const count = b.u32()
  b.skip(4)
  if (count * 16 > b.left) throw new MalformedError(`${count} inodes forgotten in ${b.left} bytes`)
  return { count }
}

/**
 * Every request the kernel may send, of which those with `decode: nothing` and a body are refused by the driver.
 * Source: include/uapi/linux/fuse.h, protocol 7.45.
 */
export const opcodes = {
  LOOKUP: { code: 1, answered: true, decode: named },
  FORGET: { code: 2, answered: false, decode: (b: Body) => ({ lookups: b.u64() }) },
  GETATTR: { code: 3, answered: true, decode: (b: Body) => ({ flags: b.u32(), padding: b.u32(), fh: b.u64() }) },
  SETATTR: { code: 4, answered: true, decode: decodeSetattr },
  READLINK: { code: 5, answered: true, decode: nothing },
  SYMLINK: { code: 6, answered: true, decode: (b: Body) => ({ name: b.name(), target: b.text() }) },
  MKNOD: {
    code: 8,
    answered: true,
    decode: (b: Body) => ({ mode: b.u32(), rdev: b.u32(), umask: b.u32(), padding: b.u32(), name: b.name() }),
  },
  MKDIR: { code: 9, answered: true, decode: (b: Body) => ({ mode: b.u32(), umask: b.u32(), name: b.name() }) },
  UNLINK: { code: 10, answered: true, decode: named },
  RMDIR: { code: 11, answered: true, decode: named },
  RENAME: {
    code: 12,
    answered: true,
    decode: (b: Body) => ({ newParent: b.u64(), name: b.name(), newName: b.name() }),
  },
  LINK: { code: 13, answered: true, decode: (b: Body) => ({ ino: b.u64(), name: b.name() }) },
  OPEN: { code: 14, answered: true, decode: opening },
  READ: { code: 15, answered: true, decode: reading },
  WRITE: { code: 16, answered: true, decode: writing },
  STATFS: { code: 17, answered: true, decode: nothing },
  RELEASE: { code: 18, answered: true, decode: closing },
  FSYNC: { code: 20, answered: true, decode: syncing },
  SETXATTR: { code: 21, answered: true, decode: settingXattr },
  GETXATTR: { code: 22, answered: true, decode: (b: Body) => ({ ...asking(b), name: b.name() }) },
  LISTXATTR: { code: 23, answered: true, decode: asking },
  REMOVEXATTR: { code: 24, answered: true, decode: named },
  FLUSH: { code: 25, answered: true, decode: (b: Body) => ({ fh: b.u64(), padding: b.u64(), lockOwner: b.u64() }) },
  INIT: { code: 26, answered: true, decode: initializing },
  OPENDIR: { code: 27, answered: true, decode: opening },
  READDIR: { code: 28, answered: true, decode: reading },
  RELEASEDIR: { code: 29, answered: true, decode: closing },
  FSYNCDIR: { code: 30, answered: true, decode: syncing },
  GETLK: { code: 31, answered: true, decode: locking },
  SETLK: { code: 32, answered: true, decode: locking },
  SETLKW: { code: 33, answered: true, decode: locking },
  ACCESS: { code: 34, answered: true, decode: (b: Body) => ({ mask: b.u32() }) },
  CREATE: {
    code: 35,
    answered: true,
    decode: (b: Body) => ({ ...creating(b), name: b.name() }),
  },
  INTERRUPT: { code: 36, answered: false, decode: (b: Body) => ({ target: b.u64() }) },
  BMAP: { code: 37, answered: true, decode: nothing },
  DESTROY: { code: 38, answered: true, decode: nothing },
  IOCTL: { code: 39, answered: true, decode: decodeIoctl },
  POLL: { code: 40, answered: true, decode: nothing },
  NOTIFY_REPLY: { code: 41, answered: false, decode: nothing },
  BATCH_FORGET: { code: 42, answered: false, decode: forgettingMany },
  FALLOCATE: {
    code: 43,
    answered: true,
    decode: (b: Body) => ({ fh: b.u64(), offset: b.u64(), length: b.u64(), mode: b.u32(), padding: b.u32() }),
  },
  READDIRPLUS: { code: 44, answered: true, decode: reading },
  RENAME2: {
    code: 45,
    answered: true,
    decode: (b: Body) => ({
      newParent: b.u64(),
      flags: b.u32(),
      padding: b.u32(),
      name: b.name(),
      newName: b.name(),
    }),
  },
  LSEEK: {
    code: 46,
    answered: true,
    decode: (b: Body) => ({ fh: b.u64(), offset: b.u64(), whence: b.u32(), padding: b.u32() }),
  },
  COPY_FILE_RANGE: { code: 47, answered: true, decode: copying },
  SETUPMAPPING: { code: 48, answered: true, decode: nothing },
  REMOVEMAPPING: { code: 49, answered: true, decode: nothing },
  SYNCFS: { code: 50, answered: true, decode: nothing },
  TMPFILE: { code: 51, answered: true, decode: creating },
  STATX: { code: 52, answered: true, decode: nothing },
  COPY_FILE_RANGE_64: { code: 53, answered: true, decode: copying },
} as const satisfies Record<string, Row>

export type Opcode = keyof typeof opcodes
export type Args<Op extends Opcode> = ReturnType<(typeof opcodes)[Op]['decode']>
