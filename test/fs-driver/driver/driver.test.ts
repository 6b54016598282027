import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import t, { type Test } from 'tap'
import { MovedInodes } from '../../../fs-driver/cache/moved-inodes.ts'
import { Callers } from '../../../fs-driver/driver/caller.ts'
import { Driver } from '../../../fs-driver/driver/driver.ts'
import { DriverState } from '../../../fs-driver/driver/driver-state.ts'
import { Interruptions } from '../../../fs-driver/driver/interruptions.ts'
import { frameOf } from '../../../fs-driver/protocol/frame.ts'
import { wantedCapabilities } from '../../../fs-driver/protocol/negotiate.ts'
import { opcodes } from '../../../fs-driver/protocol/opcode.ts'
import type { ReplyBody } from '../../../fs-driver/protocol/reply.ts'
import { resentBit } from '../../../fs-driver/protocol/request.ts'
import type { CallIdentity, FileCall, FileClient, FileResult } from '../../../fs-driver/router/file-client.ts'
import { ExtentFile } from '../../../fs-driver/write-behind/extent-file.ts'
import { StepFiles } from '../../../fs-driver/write-behind/step-files.ts'
import { WriteBehind } from '../../../fs-driver/write-behind/write-behind.ts'
import { errnos, FsError } from '../../../proto/errno.ts'
import type { Caller } from '../../../proto/generated/file-service.ts'
import { attributesOf } from '../../fixtures/attributes.ts'
import { quietCaches } from '../../fixtures/quiet-caches.ts'
import { kernelRequest, wire } from '../../fixtures/wire.ts'

interface Asked {
  readonly call: FileCall
  readonly caller: Caller
  readonly how: CallIdentity
  readonly resolve: (result: FileResult) => void
  readonly reject: (error: unknown) => void
}

/** A driver between a kernel and a client that are both this test. */
function bench(t: Test, { dying = false, groups = () => [100, 27] } = {}) {
  const folder = mkdtempSync(path.join(tmpdir(), 'banyan-driver-'))
  const state = DriverState.open(path.join(folder, 'state'), { resend: false })
  t.teardown(async () => {
    await writeBehind.end()
    state.close()
    rmSync(folder, { recursive: true })
  })
  const replies: { unique: bigint; body: ReplyBody }[] = []
  const asked: Asked[] = []
  const answered: bigint[] = []
  const errors: string[] = []
  const flow: string[] = []
  const client: FileClient = {
    call: (call, caller, how) =>
      new Promise((resolve, reject) => void asked.push({ call, caller, how, resolve, reject })),
    answered: (unique) => void answered.push(unique),
  }
  const { coherence } = quietCaches()
  const log = { debug: () => {}, info: () => {}, error: (event: string) => void errors.push(event) }
  const writeBehind = new WriteBehind({
    client: () => client,
    coherence,
    file: new ExtentFile(path.join(folder, 'writes'), { resend: false }),
    stepFiles: new StepFiles(path.join(folder, 'steps'), { resend: false }),
    open: state.handles,
    nowMs: () => 0,
    log,
  })
  const status = () => ({ groups: groups(), dying })
  const clock = { nowMs: 0 }
  const driver = new Driver({
    kernel: {
      reply: (unique, body) => {
        replies.push({ unique, body })
        return true
      },
      pause: () => void flow.push('pause'),
      resume: () => void flow.push('resume'),
    },
    client,
    state,
    coherence,
    moved: new MovedInodes({
      kernel: { forgetName: async () => {} },
      entry: (dir, name) => coherence.entry(dir, name),
      renaming: () => 'looks up',
    }),
    writeBehind,
    callers: new Callers(status, () => 0),
    interruptions: new Interruptions(status, () => 0),
    wanted: wantedCapabilities,
    unavailableMs: 60_000,
    nowMs: () => clock.nowMs,
    log,
  })
  const send = (bytes: Buffer<ArrayBuffer>) => driver.onMessage(frameOf(bytes), bytes.length)
  const settled = () => new Promise<void>((resolve) => setImmediate(resolve))
  const only = () => {
    const [first] = asked.splice(0)
    if (first === undefined) throw new Error('nothing was asked')
    return first
  }
  return { driver, clock, state, replies, asked, answered, errors, flow, send, settled, only }
}

const attributes = attributesOf(9n)
const lookup = (unique: bigint, how = {}) => kernelRequest(opcodes.LOOKUP.code, wire('6600'), { unique, ...how })
const write = (flags: string, { unique = 10n, data = '616263', how = '00000000' } = {}) =>
  kernelRequest(
    opcodes.WRITE.code,
    wire(`0902000000000000 0010000000000000
          ${Buffer.from([data.length / 2]).toString('hex')}000000 ${how} # length, write_flags
          0000000000000000 ${flags} 00000000 ${data}`),
    { unique },
  )
/** struct fuse_lk_in: to be written, all of it. */
function wholeLock(): Buffer<ArrayBuffer> {
  const lock = Buffer.alloc(48)
  lock.writeBigUInt64LE(2n ** 63n - 1n, 24)
  lock.writeUInt32LE(1, 32)
  return lock
}

const open = (op: 'OPEN' | 'OPENDIR', flags: string, unique: bigint) =>
  kernelRequest(opcodes[op].code, wire(`${flags} 00000000`), { unique })

void t.test('a request becomes one call, and its result one reply', async (t) => {
  const { send, only, replies, settled, answered } = bench(t)
  send(lookup(10n))
  const { call, caller, how, resolve } = only()
  t.strictSame(call, { $case: 'lookup', value: { parent: 7n, name: Buffer.from('f') } })
  t.strictSame(caller, { uid: 1000, gid: 100, pid: 42, groups: [100, 27] })
  t.match(how, { unique: 10n, step: 0 })
  resolve({ $case: 'entry', value: { attributes } })
  await settled()
  t.strictSame(replies, [{ unique: 10n, body: { kind: 'entry', attributes } }])
  t.strictSame(answered, [10n])
})

void t.test('a request that has waited for long is told of once, those that wait for locks not at all', async (t) => {
  const { driver, clock, send, asked, settled } = bench(t)
  send(kernelRequest(opcodes.SETLKW.code, wholeLock(), { unique: 8n }))
  send(lookup(10n))
  clock.nowMs = 6000
  send(lookup(12n))
  clock.nowMs = 9999
  t.strictSame(driver.waitingFor(10_000), [])
  clock.nowMs = 10_000
  t.strictSame(driver.waitingFor(10_000), [{ op: 'LOOKUP', ino: 7n, pid: 42, forMs: 10_000 }])
  t.strictSame(driver.waitingFor(10_000), [], 'once')
  for (const { call, resolve } of asked) if (call.$case === 'lookup') resolve({ $case: 'entry', value: { attributes } })
  await settled()
  clock.nowMs = 60_000
  t.strictSame(driver.waitingFor(10_000), [], 'it has been answered')
})

void t.test('the groups of root are nobody’s business; those that the kernel tells count', async (t) => {
  const { send, only } = bench(t)
  send(lookup(10n, { uid: 0 }))
  t.strictSame(only().caller.groups, [])
  const extension = wire('10000000 20000000 01000000 e9030000')
  send(kernelRequest(opcodes.MKDIR.code, wire('ff010000 12000000 6400'), { unique: 12n, extension }))
  t.strictSame(only().caller.groups, [100, 27, 1001])
})

void t.test('who was refused is asked for again if it has other groups by now, once', async (t) => {
  let groups = [27]
  const { send, only, asked, replies, answered, settled } = bench(t, { groups: () => groups })
  for (const unique of [10n, 12n]) {
    send(lookup(unique))
    groups = unique === 10n ? [50] : [60]
    only().reject(new FsError('EACCES', 'its permissions do not allow it'))
    await settled()
    const { caller, how, reject } = only()
    t.strictSame([caller.groups, how.unique, how.step], [groups, unique, 2])
    reject(new FsError('EACCES', 'its permissions do not allow it'))
    await settled()
  }
  send(lookup(14n))
  only().reject(new FsError('EPERM', 'the same groups, the same answer'))
  await settled()
  send(lookup(16n))
  groups = [70]
  only().reject(new FsError('ENOENT', 'no matter of rights'))
  await settled()
  t.same(asked, [])
  t.strictSame(
    replies.map(({ body }) => (body.kind === 'error' ? body.errno : body.kind)),
    [errnos.EACCES, errnos.EACCES, errnos.EPERM, errnos.ENOENT],
  )
  t.strictSame(answered, [10n, 12n, 14n, 16n])
})

void t.test('what POSIX foresees is its errno; anything else is EIO and a line in the log', async (t) => {
  const { send, only, replies, errors, settled } = bench(t)
  send(lookup(10n))
  only().reject(new FsError('ENOENT', 'no such name'))
  await settled()
  t.strictSame(errors, [])
  send(lookup(12n))
  only().reject(new TypeError('a bug'))
  await settled()
  send(lookup(14n))
  only().resolve({ $case: 'done', value: {} })
  await settled()
  t.strictSame(errors, ['request.failed', 'request.failed'])
  t.strictSame(
    replies.map(({ body }) => body),
    [errnos.ENOENT, errnos.EIO, errnos.EIO].map((errno) => ({ kind: 'error', errno })),
  )
})

void t.test('malformed and unknown requests are answered, and disturb nobody', async (t) => {
  const { send, only, asked, replies, settled } = bench(t)
  send(lookup(10n))
  send(kernelRequest(opcodes.LOOKUP.code, wire('66'), { unique: 12n }))
  send(kernelRequest(4711, wire('66'), { unique: 14n }))
  send(kernelRequest(opcodes.IOCTL.code, wire('66'), { unique: 16n }))
  send(kernelRequest(opcodes.IOCTL.code, Buffer.alloc(32), { unique: 20n }))
  send(kernelRequest(opcodes.FORGET.code, wire('66'), { unique: 18n }))
  send(Buffer.alloc(7) as Buffer<ArrayBuffer>)
  t.equal(asked.length, 1)
  only().resolve({ $case: 'entry', value: { attributes } })
  await settled()
  t.strictSame(
    replies.map(({ unique, body }) => [unique, body.kind === 'error' ? body.errno : body.kind]),
    [
      [12n, errnos.EINVAL],
      [14n, errnos.ENOSYS],
      [16n, errnos.EINVAL],
      [20n, errnos.ENOTTY],
      [10n, 'entry'],
    ],
  )
})

void t.test('FLUSH, RELEASE and DESTROY are answered at once, FORGET not at all', async (t) => {
  const { send, asked, replies } = bench(t)
  send(kernelRequest(opcodes.FLUSH.code, Buffer.alloc(24), { unique: 10n }))
  send(kernelRequest(opcodes.RELEASE.code, Buffer.alloc(24), { unique: 12n }))
  send(kernelRequest(opcodes.RELEASEDIR.code, Buffer.alloc(24), { unique: 14n }))
  send(kernelRequest(opcodes.DESTROY.code, Buffer.alloc(0), { unique: 16n }))
  send(kernelRequest(opcodes.FORGET.code, Buffer.alloc(8), { unique: 18n }))
  t.equal(asked.length, 0)
  t.strictSame(
    replies.map(({ unique, body }) => [unique, body.kind]),
    [10n, 12n, 14n, 16n].map((unique) => [unique, 'done']),
  )
})

void t.test('a write of an O_APPEND file is an append, unless the kernel writes back a page', async (t) => {
  const { send, only } = bench(t)
  send(write('01040000'))
  t.match(only().call, { $case: 'write', value: { append: true, killPrivileges: false, data: Buffer.from('abc') } })
  send(write('01040000', { unique: 12n, how: '05000000' }))
  t.match(only().call, { $case: 'write', value: { append: false, killPrivileges: true } })
  send(write('01000000', { unique: 14n }))
  t.match(only().call, { $case: 'write', value: { append: false, offset: 4096n } })
})

void t.test('a write of an O_DSYNC file is answered when it is on the disks', async (t) => {
  const { send, only, replies, settled } = bench(t)
  send(write('01100000'))
  only().resolve({ $case: 'written', value: { length: 3, offset: 0n, size: 3n } })
  await settled()
  t.strictSame(replies, [])
  const second = only()
  t.match(second, { call: { $case: 'fsync', value: { ino: 7n } }, how: { unique: 10n, step: 1 } })
  second.resolve({ $case: 'done', value: {} })
  await settled()
  t.strictSame(replies, [{ unique: 10n, body: { kind: 'written', length: 3 } }])
  send(write('01100000', { unique: 12n }))
  only().resolve({ $case: 'written', value: { length: 3, offset: 0n, size: 3n } })
  await settled()
  only().reject(new FsError('EIO', 'the disk is gone'))
  await settled()
  t.match(replies.at(-1), { unique: 12n, body: { kind: 'error', errno: errnos.EIO } })
})

void t.test(
  'allocating and copying through an O_SYNC descriptor is answered when the target is on the disks',
  async (t) => {
    const { send, only, asked, replies, settled } = bench(t)
    const handles = { plain: '0002000000000000', durable: '0602000000000000' } // accessed for writing, of request 4
    const fallocate = (fh: string) => wire(`${fh} 0000000000000000 0010000000000000 00000000 00000000`)
    const copy = (fh: string) =>
      wire(`${fh} 0000000000000000 0800000000000000 # source and its offset, target
          ${fh === handles.plain ? handles.durable : handles.plain} 0000000000000000 0010000000000000 0000000000000000`)
    const written: FileResult = { $case: 'written', value: { length: 3, offset: 0n, size: 3n } }
    const rows = [
      { op: 'FALLOCATE', body: fallocate(handles.plain), result: { $case: 'done', value: {} }, flushed: undefined },
      { op: 'FALLOCATE', body: fallocate(handles.durable), result: { $case: 'done', value: {} }, flushed: 7n },
      { op: 'COPY_FILE_RANGE', body: copy(handles.durable), result: written, flushed: undefined },
      { op: 'COPY_FILE_RANGE', body: copy(handles.plain), result: written, flushed: 8n },
    ] as const
    for (const [index, { op, body, result, flushed }] of rows.entries()) {
      const unique = BigInt(10 + 2 * index)
      send(kernelRequest(opcodes[op].code, body, { unique }))
      only().resolve(result)
      await settled()
      if (flushed !== undefined) {
        t.equal(replies.length, index, 'not answered yet')
        const { call, resolve } = only()
        t.strictSame(call, { $case: 'fsync', value: { ino: flushed } })
        resolve({ $case: 'done', value: {} })
        await settled()
      }
      t.equal(replies.at(-1)?.unique, unique)
      t.strictSame(asked, [])
    }
  },
)

void t.test('nothing of a frame is used when its message was taken', async (t) => {
  for (const length of [4096, 1 << 20]) {
    const { send, only } = bench(t)
    const body = Buffer.alloc(40 + length, 'x')
    body.fill(0, 0, 40).writeUInt32LE(length, 16)
    const message = kernelRequest(opcodes.WRITE.code, body)
    send(message)
    message.fill('y')
    const { call } = only()
    t.ok(call.$case === 'write' && call.value.data.equals(Buffer.alloc(length, 'x')), `${length} bytes`)
  }
})

void t.test('a request that is sent again has its number, and is done once while in work', async (t) => {
  const { send, only, asked, replies, answered, settled } = bench(t)
  send(lookup(10n | resentBit))
  send(lookup(10n | resentBit))
  t.equal(asked.length, 1)
  const { how, resolve } = only()
  t.equal(how.unique, 10n, 'the call is known under the number without bit 63')
  resolve({ $case: 'entry', value: { attributes } })
  await settled()
  t.equal(replies.length, 1)
  t.equal(replies[0]?.unique, 10n | resentBit)
  t.strictSame(answered, [10n])
})

const interrupt = (target: bigint) => {
  const body = Buffer.alloc(8)
  body.writeBigUInt64LE(target)
  return kernelRequest(opcodes.INTERRUPT.code, body, { unique: target | 1n })
}

void t.test('INTERRUPT reaches the call of a dying process, and nobody else’s', async (t) => {
  const { send, asked } = bench(t, { dying: true })
  send(lookup(10n))
  send(lookup(12n))
  send(interrupt(12n))
  send(interrupt(4711n))
  t.strictSame(
    asked.map(({ how }) => how.signal?.aborted),
    [false, true],
  )
})

void t.test('a living process goes on waiting: no EINTR because a child of it ended', async (t) => {
  const { send, only } = bench(t)
  send(lookup(10n))
  send(interrupt(10n))
  t.equal(only().how.signal?.aborted, false)
})

void t.test('beyond a limit no more is taken from the kernel, until there is room again', async (t) => {
  const { send, asked, flow, settled } = bench(t)
  for (let n = 1n; n <= 1024n; n++) send(lookup(2n * n))
  t.strictSame(flow, ['pause'])
  asked[5]?.resolve({ $case: 'entry', value: { attributes } })
  await settled()
  t.strictSame(flow, ['pause', 'resume'])
})

void t.test('what is open is known from its request to its RELEASE', async (t) => {
  const { send, only, replies, state, settled } = bench(t)
  send(open('OPEN', '02000000', 10n))
  t.ok(state.isOpen(7n), 'while it is asked for')
  only().resolve({ $case: 'attributes', value: attributes })
  await settled()
  const reply = replies[0]?.body
  if (reply?.kind !== 'opened') return t.fail('not opened')
  t.equal(reply.flags, 65, 'direct, writes in parallel')
  t.ok(state.isOpen(7n))
  const release = Buffer.alloc(24)
  release.writeBigUInt64LE(reply.fh)
  send(kernelRequest(opcodes.RELEASE.code, release, { unique: 12n }))
  t.notOk(state.isOpen(7n))
  send(open('OPEN', '00000000', 14n))
  only().reject(new FsError('EACCES', 'no'))
  await settled()
  t.notOk(state.isOpen(7n))
})

void t.test('while a file is being made, every inode that it may be counts as open', async (t) => {
  const { send, asked, state, settled } = bench(t)
  const creating = wire('02804100 80810000 12000000 00000000 2f00')
  send(kernelRequest(opcodes.TMPFILE.code, creating, { unique: 10n }))
  t.ok(state.isOpen(9n))
  asked[0]?.resolve({ $case: 'entry', value: { attributes } })
  await settled()
  const { ino } = attributes
  t.strictSame([state.isOpen(ino), state.isOpen(ino + 1n)], [true, false], 'it is known now')
  send(kernelRequest(opcodes.CREATE.code, Buffer.concat([creating.subarray(0, 16), wire('6600')]), { unique: 12n }))
  t.strictSame([state.isOpen(ino - 1n), state.isOpen(ino + 1n)], [false, true], 'a new one has a greater number')
  asked[1]?.reject(new FsError('EACCES', 'no'))
  await settled()
  t.notOk(state.isOpen(ino + 1n))
})

void t.test('that a listing has ended is said without asking again', async (t) => {
  const { send, only, asked, replies, settled } = bench(t)
  send(open('OPENDIR', '00000100', 10n))
  only().resolve({ $case: 'attributes', value: attributes })
  await settled()
  const opened = replies.pop()?.body
  if (opened?.kind !== 'opened') return t.fail('not opened')
  const readdir = (offset: bigint, unique: bigint) => {
    const body = Buffer.alloc(40)
    body.writeBigUInt64LE(opened.fh, 0)
    body.writeBigUInt64LE(offset, 8)
    body.writeUInt32LE(4096, 16)
    return kernelRequest(opcodes.READDIR.code, body, { unique })
  }
  send(readdir(0n, 12n))
  const { call, resolve } = only()
  t.match(call, { $case: 'readdir', value: { ino: 7n, cookie: 0n, attributes: false } })
  const entries = [{ name: Buffer.from('a'), ino: 9n, type: 8, cookie: 77n, attributes: undefined }]
  resolve({ $case: 'listing', value: { entries, end: true, parent: 1n } })
  await settled()
  send(readdir(77n, 14n))
  t.equal(asked.length, 0)
  t.match(replies.at(-1), { unique: 14n, body: { kind: 'listing', data: { length: 0 } } })
  send(readdir(0n, 16n))
  t.equal(asked.length, 1, 'from the beginning it is asked')
})

void t.test('who has lost his locks with their session gets EIO, until he closes the file', async (t) => {
  const { send, asked, only, replies, state, settled } = bench(t)
  send(open('OPEN', '02000000', 10n))
  only().resolve({ $case: 'attributes', value: attributes })
  await settled()
  const opened = replies.pop()?.body
  if (opened?.kind !== 'opened') return t.fail('not opened')
  const lock = Buffer.alloc(48)
  lock.writeBigUInt64LE(opened.fh)
  lock.writeBigUInt64LE(5n, 8)
  lock.writeBigUInt64LE(2n ** 63n - 1n, 24)
  lock.writeUInt32LE(1, 32)
  send(kernelRequest(opcodes.SETLK.code, lock, { unique: 12n }))
  const { call, resolve } = only()
  t.match(call, { $case: 'lock', value: { handle: opened.fh, range: { ino: 7n, owner: 5n, exclusive: true } } })
  resolve({ $case: 'locked', value: { granted: true } })
  await settled()
  t.match(replies.pop(), { unique: 12n, body: { kind: 'done' } })
  state.locks.lose()
  const read = Buffer.alloc(40)
  read.writeBigUInt64LE(opened.fh)
  send(kernelRequest(opcodes.READ.code, read, { unique: 14n }))
  t.match(replies.pop(), { unique: 14n, body: { kind: 'error', errno: errnos.EIO } })
  send(kernelRequest(opcodes.RELEASE.code, read.subarray(0, 24) as Buffer<ArrayBuffer>, { unique: 16n }))
  t.match(replies.pop(), { unique: 16n, body: { kind: 'done' } })
  t.equal(asked.length, 0, 'there is nothing left to give up')
})

void t.test('processes that wait for locks take no room from others, and a signal reaches them at once', async (t) => {
  const { send, asked, only, flow, replies, settled } = bench(t)
  const wait = wholeLock()
  for (let n = 1n; n <= 1100n; n++) send(kernelRequest(opcodes.SETLKW.code, wait, { unique: 2n * n }))
  t.strictSame(flow, [])
  const first = asked.splice(0)[0]
  send(interrupt(2n))
  t.equal(first?.how.signal?.aborted, true, 'though its process goes on living')
  send(interrupt(4000n))
  send(kernelRequest(opcodes.SETLKW.code, wait, { unique: 4000n }))
  await settled()
  only().resolve({ $case: 'locked', value: { granted: false } })
  await settled()
  t.match(replies.pop(), { unique: 4000n, body: { kind: 'error', errno: errnos.EINTR } }, 'also one that came early')
})
