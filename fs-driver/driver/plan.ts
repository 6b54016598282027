import { type Errno, errnos } from '../../proto/errno.ts'
import { entriesIn, packListing } from '../protocol/directory-listing.ts'
import type { InitOffer } from '../protocol/negotiate.ts'
import type { Opcode } from '../protocol/opcode.ts'
import type { ReplyBody } from '../protocol/reply.ts'
import { openFlags } from '../protocol/reply.ts'
import type { Request, RequestOf } from '../protocol/request.ts'
import type { FileCall, FileResult } from '../router/file-client.ts'
import { handleOf, opensForWriting } from './handle-table.ts'
import type { LockPlan } from './locks.ts'
import { planIoctl } from './plan-ioctl.ts'
import { planLock } from './plan-locks.ts'
import { planRange } from './plan-ranges.ts'
import {
  answerAttributes,
  answerData,
  answerDone,
  answerEntry,
  answerSpace,
  answerStatx,
  entryOf,
  expectResult,
} from './results.ts'

/** What is to be done for one request. */
export type Plan =
  /** Answered here and now. */
  | { readonly kind: 'local'; readonly reply: ReplyBody }
  /** Nothing, not even an answer. */
  | { readonly kind: 'nothing' }
  | { readonly kind: 'initialize'; readonly offer: InitOffer }
  | { readonly kind: 'interrupt'; readonly target: bigint }
  | LockPlan
  | Calling

export interface Calling {
  readonly kind: 'call'
  readonly call: FileCall
  /** The server decides by who the caller is: it needs all groups. */
  readonly judged: boolean
  /** To be answered only when this inode is on the disks (O_SYNC, O_DSYNC). */
  readonly durable?: bigint | undefined
  /**
   * The answer to the kernel. `validMs`: for how long it may use the attributes of an inode.
   *
   * @throws Error if the result is not of this operation
   */
  readonly answer: (result: FileResult, validMs?: (ino: bigint) => number) => ReplyBody
}

const openFlagBits = { append: 0o2000, dsync: 0o10000 } as const

/** Kinds of requests that no server of ours knows. ENOSYS: the kernel does not ask again, and does without or by itself. */
const refusals = {
  BMAP: 'ENOSYS',
  POLL: 'ENOSYS',
  SETUPMAPPING: 'ENOSYS',
  REMOVEMAPPING: 'ENOSYS',
} as const satisfies Partial<Record<Opcode, Errno>>

type Refused = Extract<Request, { op: keyof typeof refusals }>
const isRefused = (request: Request): request is Refused => Object.hasOwn(refusals, request.op)

const done: ReplyBody = { kind: 'done' }
const nothing: Plan = { kind: 'nothing' }

/** The only switch over the kernel's operations. Pure. */
export function planOf(request: Request): Plan {
  if (isRefused(request)) return { kind: 'local', reply: { kind: 'error', errno: errnos[refusals[request.op]] } }
  switch (request.op) {
    case 'INIT':
      return { kind: 'initialize', offer: request.args }
    case 'INTERRUPT':
      return { kind: 'interrupt', target: request.args.target }
    case 'FORGET':
    case 'BATCH_FORGET':
    case 'NOTIFY_REPLY':
      return nothing // inode numbers mean something without a lookup count
    case 'DESTROY':
      return { kind: 'local', reply: done }
    case 'FLUSH':
    case 'RELEASE':
    case 'RELEASEDIR':
    case 'GETLK':
    case 'SETLK':
    case 'SETLKW':
      return planLock(request)
    case 'LOOKUP':
    case 'SYMLINK':
    case 'MKNOD':
    case 'MKDIR':
    case 'LINK':
      return { kind: 'call', call: callForEntry(request), judged: true, answer: answerEntry }
    case 'CREATE':
    case 'TMPFILE':
      return planCreate(request)
    case 'STATX':
    case 'GETATTR':
    case 'READLINK':
    case 'STATFS':
      return planQuery(request)
    case 'SETATTR':
      return planSetattr(request)
    case 'UNLINK':
    case 'RMDIR':
    case 'RENAME':
    case 'RENAME2':
    case 'ACCESS':
    case 'SETXATTR':
    case 'REMOVEXATTR':
      return { kind: 'call', call: callForDone(request), judged: true, answer: answerDone }
    case 'OPEN':
    case 'OPENDIR':
      return planOpen(request)
    case 'READ':
      return planRead(request)
    case 'WRITE':
      return planWrite(request)
    case 'READDIR':
    case 'READDIRPLUS':
      return planReaddir(request)
    case 'LSEEK':
    case 'FALLOCATE':
    case 'COPY_FILE_RANGE':
    case 'COPY_FILE_RANGE_64':
      return planRange(request)
    case 'IOCTL':
      return planIoctl(request)
    case 'FSYNC':
    case 'FSYNCDIR':
    case 'SYNCFS':
      return asking({ $case: 'fsync', value: { ino: request.header.nodeid } }, answerDone)
    case 'GETXATTR':
    case 'LISTXATTR':
      return planXattrs(request)
  }
}

/** Rights were checked when the inode was opened, or there is no right to check. */
const asking = (call: FileCall, answer: Calling['answer']): Calling => ({ kind: 'call', call, judged: false, answer })

function callForEntry({ op, header, args }: RequestOf<'LOOKUP' | 'SYMLINK' | 'MKNOD' | 'MKDIR' | 'LINK'>): FileCall {
  const parent = header.nodeid
  const { name } = args
  switch (op) {
    case 'LOOKUP':
      return { $case: 'lookup', value: { parent, name } }
    case 'SYMLINK':
      return { $case: 'symlink', value: { parent, name, target: args.target } }
    case 'MKNOD':
      return { $case: 'mknod', value: { parent, name, mode: args.mode, umask: args.umask, rdev: args.rdev } }
    case 'MKDIR':
      return { $case: 'mkdir', value: { parent, name, mode: args.mode, umask: args.umask } }
    case 'LINK':
      return { $case: 'link', value: { ino: args.ino, parent, name } }
  }
}

type AnsweredDone = 'UNLINK' | 'RMDIR' | 'RENAME' | 'RENAME2' | 'ACCESS' | 'SETXATTR' | 'REMOVEXATTR'

function callForDone({ op, header, args }: RequestOf<AnsweredDone>): FileCall {
  const ino = header.nodeid
  switch (op) {
    case 'UNLINK':
      return { $case: 'unlink', value: { parent: ino, name: args.name } }
    case 'RMDIR':
      return { $case: 'rmdir', value: { parent: ino, name: args.name } }
    case 'RENAME':
    case 'RENAME2': {
      const { name, newParent, newName } = args
      const flags = op === 'RENAME2' ? args.flags : 0
      return { $case: 'rename', value: { parent: ino, name, newParent, newName, flags } }
    }
    case 'ACCESS':
      return { $case: 'access', value: { ino, mask: args.mask } }
    case 'SETXATTR':
      return { $case: 'setxattr', value: { ino, name: args.name, value: args.value, flags: args.flags } }
    case 'REMOVEXATTR':
      return { $case: 'removexattr', value: { ino, name: args.name } }
  }
}

/**
 * The kernel's cache is passed by, so that other hosts' writes are seen; maps go on working. No file is without a FLUSH
 * when it is closed: it is what ends the locks of a process.
 */
const fileFlags = openFlags.DIRECT_IO | openFlags.PARALLEL_DIRECT_WRITES

function planOpen({ op, header, args }: RequestOf<'OPEN' | 'OPENDIR'>): Plan {
  const value = { ino: header.nodeid, flags: args.flags, killPrivileges: args.killPrivileges }
  const opened = {
    kind: 'opened',
    fh: handleOf(header.unique, args.flags),
    flags: op === 'OPEN' ? fileFlags : 0,
  } as const
  const answer = (result: FileResult): ReplyBody => {
    expectResult(result, 'attributes')
    return opened
  }
  return { kind: 'call', call: { $case: 'open', value }, judged: true, answer }
}

function planCreate({ op, header, args }: RequestOf<'CREATE' | 'TMPFILE'>): Plan {
  const { mode, umask, flags } = args
  const parent = header.nodeid
  const opened = { fh: handleOf(header.unique, flags), flags: fileFlags }
  const call: FileCall =
    op === 'TMPFILE'
      ? { $case: 'tmpfile', value: { parent, mode, umask, flags } }
      : { $case: 'create', value: { parent, name: args.name, mode, umask, flags } }
  return {
    kind: 'call',
    call,
    judged: true,
    answer: (result) => ({ kind: 'created', attributes: entryOf(result), ...opened }),
  }
}

function planQuery({ op, header }: RequestOf<'STATX' | 'GETATTR' | 'READLINK' | 'STATFS'>): Plan {
  if (op === 'STATFS') return asking({ $case: 'statfs', value: {} }, answerSpace)
  const value = { ino: header.nodeid }
  if (op === 'READLINK') return asking({ $case: 'readlink', value }, answerData)
  return asking({ $case: 'getattr', value }, op === 'STATX' ? answerStatx : answerAttributes)
}

function planSetattr({ header, args }: RequestOf<'SETATTR'>): Plan {
  const { fh, mode, uid, gid, size, atime, mtime, killPrivileges } = args
  const changes = [mode, uid, gid, size, atime, mtime].some((change) => change !== undefined) || killPrivileges
  if (!changes) return asking({ $case: 'getattr', value: { ino: header.nodeid } }, answerAttributes)
  const value = {
    ino: header.nodeid,
    mode,
    uid,
    gid,
    size,
    atime: timeChange(atime),
    mtime: timeChange(mtime),
    openForWriting: fh !== undefined && opensForWriting(fh),
    killPrivileges,
  }
  return { kind: 'call', call: { $case: 'setattr', value }, judged: true, answer: answerAttributes }
}

function timeChange(time: bigint | 'now' | undefined): { now: boolean; ns: bigint } | undefined {
  if (time === undefined) return undefined
  return time === 'now' ? { now: true, ns: 0n } : { now: false, ns: time }
}

function planRead({ header, args }: RequestOf<'READ'>): Plan {
  const call = { $case: 'read', value: { ino: header.nodeid, offset: args.offset, length: args.length } } as const
  return asking(call, (result) => {
    const { value } = expectResult(result, 'data')
    if (value.length > args.length) throw new Error(`${value.length} bytes were read where ${args.length} were wanted`)
    return { kind: 'data', data: value }
  })
}

function planWrite({ header, args }: RequestOf<'WRITE'>): Plan {
  const { offset, data, flags, fromCache, killPrivileges } = args
  const append = !fromCache && (flags & openFlagBits.append) !== 0
  const call = { $case: 'write', value: { ino: header.nodeid, offset, data, append, killPrivileges } } as const
  const answer = (result: FileResult): ReplyBody => {
    const { length } = expectResult(result, 'written').value
    if (length > data.length) throw new Error(`${length} bytes were written where ${data.length} were given`)
    return { kind: 'written', length }
  }
  // O_SYNC has O_DSYNC's bit too; the kernel sets it for RWF_DSYNC as well.
  // Who may not keep set-gid loses it, which depends on all groups.
  const durable = (flags & openFlagBits.dsync) === 0 ? undefined : header.nodeid
  return { kind: 'call', call, judged: killPrivileges, durable, answer }
}

function planReaddir({ op, header, args }: RequestOf<'READDIR' | 'READDIRPLUS'>): Plan {
  const withAttributes = op === 'READDIRPLUS'
  const sizeBytes = args.length
  const count = entriesIn(sizeBytes, withAttributes)
  const value = { ino: header.nodeid, cookie: args.offset, count, attributes: withAttributes }
  return asking({ $case: 'readdir', value }, (result, validMs) => {
    const { entries, end } = expectResult(result, 'listing').value
    const { data, count: packed } = packListing(entries, {
      sizeBytes,
      withAttributes,
      ...(validMs === undefined ? {} : { validMs }),
    })
    if (packed === 0 && entries.length > 0) return { kind: 'error', errno: errnos.EINVAL } // not even one fits
    if (packed === 0 && !end) throw new Error('a listing has no entries, and does not end')
    return { kind: 'listing', data, endsAt: end && packed === entries.length ? entries.at(-1)?.cookie : undefined }
  })
}

/** With length 0 it is asked how long the answer is. */
function planXattrs({ op, header, args }: RequestOf<'GETXATTR' | 'LISTXATTR'>): Plan {
  const ino = header.nodeid
  const sized = (data: Uint8Array): ReplyBody => {
    if (args.length === 0) return { kind: 'length', length: data.length }
    return data.length > args.length ? { kind: 'error', errno: errnos.ERANGE } : { kind: 'data', data }
  }
  if (op === 'GETXATTR') {
    const call = { $case: 'getxattr', value: { ino, name: args.name } } as const
    return { kind: 'call', call, judged: true, answer: (result) => sized(expectResult(result, 'data').value) }
  }
  return asking({ $case: 'listxattr', value: { ino } }, (result) => {
    const { names } = expectResult(result, 'names').value
    return sized(Buffer.concat(names.flatMap((name) => [name, Buffer.from([0])])))
  })
}
