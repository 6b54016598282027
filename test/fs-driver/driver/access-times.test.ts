import t from 'tap'
import { AccessTimes } from '../../../fs-driver/driver/access-times.ts'
import { frameOf } from '../../../fs-driver/protocol/frame.ts'
import { type Opcode, opcodes } from '../../../fs-driver/protocol/opcode.ts'
import { openFlags, type ReplyBody } from '../../../fs-driver/protocol/reply.ts'
import { parseRequest } from '../../../fs-driver/protocol/request.ts'
import type { FileClient } from '../../../fs-driver/router/file-client.ts'
import { errnos, FsError } from '../../../proto/errno.ts'
import type { Attributes, NotedRead } from '../../../proto/generated/file-service.ts'
import { attributesOf } from '../../fixtures/attributes.ts'
import { kernelRequest, wire } from '../../fixtures/wire.ts'

const second = 1_000_000_000n
const made = 1_000n * second
const ino = 7n

/** Access times between requests, a server and clocks that are all this test. */
function bench({ fails = false, answers = true } = {}) {
  const known = new Map<bigint, Attributes>()
  const sent: { reads: NotedRead[]; unique: bigint }[] = []
  const answered: bigint[] = []
  const told: [bigint, bigint | 'forgotten'][] = []
  const timers: { ms: number; run: () => void }[] = []
  const clock = { nowMs: 0 }
  const client: FileClient = {
    call: async (call, _caller, { unique }) => {
      if (call.$case !== 'noteReads') throw new Error(`asked for ${call.$case}`)
      sent.push({ reads: call.value.reads, unique })
      if (!answers) await new Promise(() => {})
      if (fails) throw new FsError('EIO', 'no provider answers')
      return { $case: 'done', value: {} }
    },
    answered: (unique) => void answered.push(unique),
  }
  const times = new AccessTimes({
    client,
    attributes: {
      attributes: (of) => known.get(of),
      wasRead: (of, atimeNs) => {
        const attributes = known.get(of)
        if (attributes !== undefined) known.set(of, { ...attributes, atimeNs })
      },
      readIsTold: (of, atNs) => void told.push([of, atNs]),
      forgetRead: (of) => void told.push([of, 'forgotten']),
    },
    nowNs: () => made + second + BigInt(clock.nowMs) * 1_000_000n,
    later: (ms, run) => {
      const timer = { ms, run }
      timers.push(timer)
      return () => void timers.splice(timers.indexOf(timer), timers.includes(timer) ? 1 : 0)
    },
  })
  const know = (change: Partial<Attributes> = {}, of = ino) =>
    void known.set(of, { ...attributesOf(of), atimeNs: made, mtimeNs: made, ctimeNs: made, ...change })
  const answer = (op: Opcode, body: string, reply: ReplyBody, nodeid = ino) => {
    const bytes = kernelRequest(opcodes[op].code, wire(body), { nodeid })
    const request = parseRequest(frameOf(bytes), bytes.length, { minor: 45, flags: 0n, maxReadahead: 0 })
    if (request.op === 'malformed' || request.op === 'unknown') throw new Error(`${op} is ${request.op}`)
    times.answered(request, reply)
  }
  const data: ReplyBody = { kind: 'data', data: Buffer.from('x') }
  const read = (nodeid = ino) => answer('READ', reading(), data, nodeid)
  return { times, known, know, told, sent, answered, timers, clock, answer, read, data }
}

const reading = (flags = '00800000') =>
  `0902000000000000 0000000000000000 00100000 00000000 0000000000000000 ${flags} 00000000`
const noAtime = '00000400'
const listing: ReplyBody = { kind: 'listing', data: Buffer.alloc(0), endsAt: undefined }
const opened = (flags: number): ReplyBody => ({ kind: 'opened', fh: 9n, flags })

void t.test('a read is shown at once, told once, and the next one is nothing new', async (t) => {
  const { times, known, know, told, sent, answered, timers, clock, read } = bench()
  know()
  read()
  t.equal(known.get(ino)?.atimeNs, made + second)
  t.equal(timers.length, 1)
  t.ok((timers[0]?.ms ?? 0) >= 1000, 'not at once')
  t.same(sent, [])
  clock.nowMs = 2_500
  read()
  await times.flush()
  t.same(
    sent.map(({ reads }) => reads),
    [[{ ino, atNs: made + second, wasNs: made }]],
  )
  t.same(told, [[ino, made + second]])
  t.same(answered, [sent[0]?.unique], 'nothing of it needs to be kept')
  t.equal(Number((answered[0] ?? 0n) & 1n), 1, 'no request of the kernel has that number')
  read()
  await times.flush()
  t.equal(sent.length, 1)
  t.same(timers, [])
  clock.nowMs += 86_400_000
  read()
  t.equal(timers.length, 1, 'a day later it is')
})

void t.test('which answers are reads', async (t) => {
  const error: ReplyBody = { kind: 'error', errno: errnos.EIO }
  const rows: readonly (readonly [boolean, string, Opcode, string, ReplyBody])[] = [
    [true, 'a read', 'READ', reading(), { kind: 'data', data: Buffer.alloc(0) }],
    [false, 'a read that failed', 'READ', reading(), error],
    [false, 'a read with O_NOATIME', 'READ', reading(noAtime), { kind: 'data', data: Buffer.alloc(0) }],
    [true, 'a listing', 'READDIR', reading(), listing],
    [true, 'a listing with attributes', 'READDIRPLUS', reading(), listing],
    [false, 'a listing with O_NOATIME', 'READDIRPLUS', reading(noAtime), listing],
    [true, 'a symlink', 'READLINK', '', { kind: 'data', data: Buffer.from('x') }],
    [true, 'an open whose reads find pages', 'OPEN', '00800000 00000000', opened(openFlags.KEEP_CACHE)],
    [false, 'an open whose reads come here', 'OPEN', '00800000 00000000', opened(openFlags.DIRECT_IO)],
    [false, 'the same with O_NOATIME', 'OPEN', `${noAtime} 00000000`, opened(openFlags.KEEP_CACHE)],
    [false, 'an open that failed', 'OPEN', '00800000 00000000', error],
    [false, 'opening a directory', 'OPENDIR', '00800000 00000000', opened(0)],
    [false, 'a value', 'GETXATTR', '00100000 00000000 7500', { kind: 'data', data: Buffer.from('x') }],
  ]
  for (const [expected, what, op, body, reply] of rows) {
    for (const isKnown of [true, false]) {
      const { times, know, sent, answer } = bench()
      if (isKnown) know()
      answer(op, body, reply)
      await times.flush()
      const reads = expected ? [[{ ino, atNs: made + second, wasNs: isKnown ? made : undefined }]] : []
      t.same(
        sent.map((one) => one.reads),
        reads,
        `${what}, of ${isKnown ? 'a known' : 'an unknown'} inode`,
      )
    }
  }
})

void t.test('of which inodes reads are noted', async (t) => {
  const rows: readonly (readonly [boolean, string, Partial<Attributes>])[] = [
    [false, 'read since', { atimeNs: made + 1n }],
    [true, 'changed since', { atimeNs: made + 1n, ctimeNs: made + 2n }],
    [true, 'changed by a host whose clock is ahead', { ctimeNs: made + 9n * second, mtimeNs: made + 9n * second }],
    [false, 'with the flag for no access times', { flags: 0x80 }],
    [false, 'set to the future, and changed in a future that is later', { atimeNs: 2n * made, mtimeNs: 3n * made }],
  ]
  for (const [expected, what, change] of rows) {
    const { times, known, know, sent, read } = bench()
    know(change)
    read()
    const now = known.get(ino)
    t.equal((now?.atimeNs ?? 0n) > (change.atimeNs ?? made), expected, what)
    if (expected) t.ok(now !== undefined && now.atimeNs > now.ctimeNs, 'after the change that it came after')
    await times.flush()
    t.equal(sent.length, expected ? 1 : 0, what)
  }
})

void t.test('who sets the access time has the last word', async (t) => {
  const { times, know, told, sent, read, answer } = bench()
  know()
  read()
  const utimes = `10000000 00000000 0000000000000000 0000000000000000 0000000000000000
    6400000000000000 0000000000000000 0000000000000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000`
  answer('SETATTR', utimes, { kind: 'attributes', attributes: attributesOf(ino) })
  await times.flush()
  t.same(sent, [])
  t.same(told, [[ino, 'forgotten']])
})

void t.test('a read after a change that came after a read is one: the servers know what was before both', async (t) => {
  const { times, know, known, sent, clock, read } = bench()
  know()
  read()
  clock.nowMs = 1_000
  know({ atimeNs: made + second, mtimeNs: made + second + 1n })
  read()
  t.equal(known.get(ino)?.atimeNs, made + 2n * second)
  await times.flush()
  t.same(sent[0]?.reads, [{ ino, atNs: made + 2n * second, wasNs: made }])
  know({ atimeNs: made + 2n * second, mtimeNs: made + 3n * second })
  clock.nowMs = 5_000
  read()
  await times.flush()
  t.same(sent[1]?.reads, [{ ino, atNs: made + 6n * second, wasNs: made + 2n * second }])
})

void t.test('many are told in messages of a bounded size, and no more are kept than a bounded number', async (t) => {
  const { times, sent, read } = bench()
  for (let n = 1n; n <= 5_000n; n++) read(n)
  await times.flush()
  t.equal(sent.flatMap(({ reads }) => reads).length, 4_096)
  t.equal(Math.max(...sent.map(({ reads }) => reads.length)), 512)
  t.equal(new Set(sent.map(({ unique }) => unique)).size, sent.length)
})

void t.test('what no server hears is forgotten, and the next read is noted as ever', async (t) => {
  const { times, sent, timers, read } = bench({ fails: true })
  read()
  timers[0]?.run()
  await times.flush()
  t.equal(sent.length, 1)
  read()
  t.equal(timers.length, 1)
})

void t.test('when the mount is gone all is told', async (t) => {
  const { times, sent, timers, read } = bench()
  read()
  await times.close()
  t.equal(sent.length, 1)
  t.same(timers, [], 'nothing is left to come')
})

void t.test('a mount that is gone does not wait for servers that are gone, too', async (t) => {
  const { times, sent, timers, read } = bench({ answers: false })
  read()
  const closed = times.close()
  await new Promise((resolve) => setImmediate(resolve))
  t.equal(sent.length, 1)
  t.equal(timers.length, 1, 'the limit')
  timers[0]?.run()
  await closed
})
