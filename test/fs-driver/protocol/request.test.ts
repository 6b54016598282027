import t from 'tap'
import { frameOf } from '../../../fs-driver/protocol/frame.ts'
import { capabilities, type Negotiated } from '../../../fs-driver/protocol/negotiate.ts'
import { opcodes } from '../../../fs-driver/protocol/opcode.ts'
import { isAnswered, parseRequest } from '../../../fs-driver/protocol/request.ts'
import { wellFormedRequests } from '../../fixtures/well-formed-requests.ts'
import { kernelRequest, wire } from '../../fixtures/wire.ts'

const negotiated: Negotiated = { minor: 45, flags: capabilities.SETXATTR_EXT, maxReadahead: 131072 }
const parse = (bytes: Buffer<ArrayBuffer>, how = negotiated) => parseRequest(frameOf(bytes), bytes.length, how)

void t.test('each request is read as the kernel wrote it', async (t) => {
  for (const { op, body, args } of wellFormedRequests) {
    const parsed = parse(kernelRequest(opcodes[op].code, wire(body)))
    t.equal(parsed.op, op)
    t.match('args' in parsed ? parsed.args : {}, args, op)
    t.match(parsed.header, { unique: 10n, nodeid: 7n, uid: 1000, gid: 100, pid: 42 })
  }
})

/** fuse_setattr_in, 88 bytes. */
const setattr = (valid: string, { atime = '00'.repeat(8), atimeNs = '00'.repeat(4) } = {}) =>
  kernelRequest(
    opcodes.SETATTR.code,
    wire(`${valid} 00000000
          0902000000000000  # fh
          0010000000000000  # size
          0000000000000000  # lock_owner
          ${atime}          # atime
          0100000000000000  # mtime
          0000000000000000  # ctime
          ${atimeNs}        # ns of atime
          02000000          # ns of mtime
          00000000
          a4810000 00000000 # mode 0100644
          e8030000          # uid
          64000000          # gid
          00000000`),
  )

const unchanged = {
  fh: undefined,
  mode: undefined,
  uid: undefined,
  gid: undefined,
  size: undefined,
  atime: undefined,
  mtime: undefined,
  killPrivileges: false,
}

void t.test('SETATTR changes what its bits say and nothing else', async (t) => {
  const rows: readonly [valid: string, args: object][] = [
    ['00000000', unchanged],
    ['01000000', { ...unchanged, mode: 0o100644 }],
    ['06080000', { ...unchanged, uid: 1000, gid: 100, killPrivileges: true }],
    ['48020000', { ...unchanged, fh: 521n, size: 4096n }],
    ['30000000', { ...unchanged, atime: 0n, mtime: 1_000_000_002n }],
    ['b0010000', { ...unchanged, atime: 'now', mtime: 'now' }],
    ['20040000', { ...unchanged, mtime: 1_000_000_002n }], // ctime is the server's
  ]
  for (const [valid, args] of rows) {
    const parsed = parse(setattr(valid))
    t.strictSame('args' in parsed ? parsed.args : parsed, args, valid)
  }
})

void t.test('times before 1970, and beyond what nanoseconds in 64 bits can say', async (t) => {
  const atimeOf = (times: { atime: string; atimeNs?: string }) => {
    const parsed = parse(setattr('10000000', times))
    return parsed.op === 'SETATTR' ? parsed.args.atime : parsed.op
  }
  t.equal(atimeOf({ atime: 'ffffffffffffffff', atimeNs: '01000000' }), -999_999_999n)
  t.equal(atimeOf({ atime: 'ffffffffffffff7f' }), (1n << 63n) - 1n)
  t.equal(atimeOf({ atime: '0000000000000080' }), -(1n << 63n))
  t.equal(atimeOf({ atime: '00'.repeat(8), atimeNs: '00ca9a3b' }), 'malformed', 'a whole second of nanoseconds')
})

void t.test('the groups that the kernel tells are read, and end the names', async (t) => {
  const extension = wire(`10000000 20000000 # size 16, groups
                          01000000 e9030000 # one: 1001`)
  const mkdir = kernelRequest(opcodes.MKDIR.code, wire('ff010000 12000000 6400'), { extension })
  t.match(parse(mkdir), { op: 'MKDIR', header: { groups: [1001] }, args: { name: Buffer.from('d') } })
  const unknown = wire('0a000000 63000000 0102000000000000') // size 10, padded; a type of the future
  const both = kernelRequest(opcodes.MKDIR.code, wire('ff010000 12000000 6400'), {
    extension: Buffer.concat([unknown, extension]),
  })
  t.match(parse(both), { op: 'MKDIR', header: { groups: [1001] } })
})

void t.test('what no request can be is malformed, and says whom to answer', async (t) => {
  const rows: readonly [what: string, bytes: Buffer<ArrayBuffer>][] = [
    ['a name without its NUL', kernelRequest(1, wire('66'))],
    ['an empty name', kernelRequest(1, wire('00'))],
    ['a name with a slash', kernelRequest(1, wire('612f6200'))],
    ['a body that is too short', kernelRequest(15, wire('0902000000000000'))],
    ['more data than there is', kernelRequest(16, wire(`${'00'.repeat(16)} ffffffff ${'00'.repeat(20)}`))],
    ['a read of 4 GiB', kernelRequest(15, wire(`${'00'.repeat(16)} ffffffff ${'00'.repeat(20)}`))],
    ['more forgotten than listed', kernelRequest(42, wire('ffffffff 00000000'))],
    ['one name where two are due', kernelRequest(12, wire('0800000000000000 6100'))],
    ['an extension of no length', kernelRequest(9, wire('00'.repeat(8)), { extension: wire('0000000020000000') })],
    ['an extension beyond the end', kernelRequest(9, wire('00'.repeat(8)), { extension: wire('ffffffff20000000') })],
    [
      'too many groups',
      kernelRequest(9, wire('00'.repeat(8)), { extension: wire('1000000020000000ffffffff00000000') }),
    ],
  ]
  for (const [what, bytes] of rows) t.match(parse(bytes), { op: 'malformed', header: { unique: 10n } }, what)
  const long = kernelRequest(1, wire('6600'))
  long.writeUInt16LE(0xffff, 36)
  t.match(parse(long), { op: 'malformed', header: { unique: 10n } }, 'total_extlen larger than len')
  const other = kernelRequest(1, wire('6600'))
  other.writeUInt32LE(41, 0)
  t.match(parse(other), { op: 'malformed', header: { unique: 10n } }, 'len is not what was read')
  t.match(parse(Buffer.alloc(39) as Buffer<ArrayBuffer>), { op: 'malformed', header: undefined })
})

void t.test('SETXATTR has the head that was negotiated', async (t) => {
  const short = kernelRequest(21, wire('02000000 01000000 757365722e6100 6869'))
  const parsed = parse(short, { ...negotiated, flags: 0n })
  t.match(parsed, { op: 'SETXATTR', args: { name: Buffer.from('user.a'), value: Buffer.from('hi') } })
})

void t.test('a request of a newer kernel is unknown, and is answered', async (t) => {
  for (const opcode of [7, 19, 54, 4096, 0xffffffff]) {
    t.equal(parse(kernelRequest(opcode, wire('00'))).op, 'unknown')
    t.ok(isAnswered(opcode))
  }
  t.notOk(isAnswered(opcodes.FORGET.code))
})

void t.test('names and values outlive the frame', async (t) => {
  const bytes = kernelRequest(6, wire('6c00 6100'))
  const parsed = parse(bytes)
  bytes.fill(0)
  t.match(parsed, { args: { name: Buffer.from('l'), target: Buffer.from('a') } })
})
