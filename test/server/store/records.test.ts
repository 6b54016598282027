import fc from 'fast-check'
import t from 'tap'
import { decodeHoles, encodeHoles } from '../../../server/store/holes-record.ts'
import * as locks from '../../../server/store/lock-records.ts'
import * as records from '../../../server/store/records.ts'
import { bodyAt, DamagedRecord, frame, intact, seal } from '../../../server/store/seal.ts'
import * as sessions from '../../../server/store/session-records.ts'
import { holds } from '../../fixtures/random.ts'

const u64 = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n })
const i64 = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n })
const u32 = fc.nat(2 ** 32 - 1)
const safe = fc.maxSafeNat()
const bytes = (minLength: number, maxLength: number) =>
  fc.uint8Array({ minLength, maxLength }).map((one) => Buffer.from(one))
const type = fc.constantFrom(1, 2, 4, 6, 8, 10, 12)

const inode = fc
  .record({
    type,
    bits: fc.nat(4095),
    uid: u32,
    gid: u32,
    nlink: u32,
    size: safe,
    version: safe,
    rdev: u32,
    flags: fc.oneof(fc.constant(0), u32),
    holes: fc.oneof(fc.constant(0), safe),
    atimeNs: i64,
    mtimeNs: i64,
    ctimeNs: i64,
    btimeNs: i64,
    blob: u64,
    parent: u64,
    entries: u32,
    target: bytes(1, 4095),
  })
  .map(({ type, bits, blob, parent, entries, target, ...rest }) => ({
    ...rest,
    mode: (type << 12) | bits,
    blob: type === records.typeRegular ? blob : 0n,
    parent: type === records.typeDirectory ? parent : 0n,
    entries: type === records.typeDirectory ? entries : 0,
    target: type === records.typeSymlink ? target : Buffer.alloc(0),
  }))
const dentries = fc.uniqueArray(fc.record({ slot: fc.nat(255), ino: u64, type, name: bytes(1, 255) }), {
  minLength: 1,
  maxLength: 20,
  selector: ({ slot }) => slot,
})
const session = fc.record({
  host: fc.string(),
  pid: u32,
  path: fc.string({ unit: 'grapheme' }),
  nonce: fc.string(),
  provider: fc.string(),
  openedNs: i64,
})

const byte = fc.bigInt({ min: 0n, max: locks.lockEndMax })
const lock = fc
  .record({
    session: u64,
    owner: u64,
    flock: fc.boolean(),
    exclusive: fc.boolean(),
    range: fc.tuple(byte, byte),
    handle: u64,
    pid: u32,
  })
  .map(({ range: [a, b], ...rest }) => ({ ...rest, start: a < b ? a : b, end: a < b ? b : a }))
const holes = fc
  .uniqueArray(u32, { minLength: 2, maxLength: 40, size: 'max' })
  .map((places) => [...places].sort((a, b) => a - b))
  .map((places) => places.slice(0, places.length - (places.length % 2)))
  .map((places) => Array.from({ length: places.length / 2 }, (_, at) => [places[2 * at], places[2 * at + 1]]))

interface Codec {
  readonly values: fc.Arbitrary<unknown>
  readonly encode: (value: never) => Buffer
  readonly decode: (bytes: Uint8Array) => unknown
}
const codecs: Readonly<Record<string, Codec>> = {
  holes: { values: holes, encode: encodeHoles, decode: decodeHoles },
  inode: { values: inode, encode: records.encodeInode, decode: records.decodeInode },
  dentries: {
    values: dentries.map((all) => all.toSorted((a, b) => a.slot - b.slot)),
    encode: records.encodeDentries,
    decode: records.decodeDentries,
  },
  contents: { values: bytes(0, 4096), encode: contents, decode: records.decodeContents },
  xattrs: {
    values: fc.array(fc.record({ name: bytes(1, 255), value: bytes(0, 600) }), { minLength: 1 }),
    encode: records.encodeXattrs,
    decode: records.decodeXattrs,
  },
  locks: {
    values: fc.array(lock, { minLength: 1, maxLength: 20 }),
    encode: locks.encodeLocks,
    decode: locks.decodeLocks,
  },
  orphan: {
    values: i64,
    encode: records.encodeOrphan,
    decode: (value) => records.decodeOrphan(value).sinceNs,
  },
  counter: {
    values: fc.record({ next: u64, used: safe }),
    encode: records.encodeCounter,
    decode: records.decodeCounter,
  },
  session: { values: session, encode: sessions.encodeSession, decode: sessions.decodeSession },
  reply: {
    values: fc.record({ seq: u64, errno: fc.nat(133), reply: bytes(0, 300) }),
    encode: sessions.encodeReply,
    decode: sessions.decodeReply,
  },
}

for (const [name, codec] of Object.entries(codecs)) {
  void t.test(`${name}: what is encoded is decoded`, async (t) => {
    const round = fc.property(codec.values, (value) => {
      const encoded = codec.encode(value as never)
      if (!intact(encoded)) throw new Error(`${encoded.toString('hex')} is not intact`)
      if (text(codec.decode(encoded)) !== text(value))
        throw new Error(`${text(value)} became ${text(codec.decode(encoded))}`)
    })
    holds(t, 200, round)
  })

  void t.test(`${name}: any bytes are a value or a DamagedRecord, and a flipped bit is always noticed`, async (t) => {
    const random = fc.property(bytes(0, 200), (any) => void total(codec, any))
    holds(t, 500, random)
    const flipped = fc.property(codec.values, fc.nat(), (value, at) => {
      const encoded = codec.encode(value as never)
      const index = at % (encoded.length * 8)
      encoded[index >> 3] = (encoded[index >> 3] ?? 0) ^ (1 << (index & 7))
      if (intact(encoded) || total(codec, encoded) !== undefined) throw new Error(`bit ${index} flipped, not noticed`)
    })
    holds(t, 300, flipped)
  })

  void t.test(`${name}: bytes that are changed and then sealed again are a value or a DamagedRecord`, async (t) => {
    const changed = fc.property(
      codec.values,
      fc.array(fc.tuple(fc.nat(), fc.nat(255))),
      fc.nat(40),
      (value, bits, cut) => {
        const encoded = Buffer.from(codec.encode(value as never))
        for (const [at, byte] of bits) encoded[at % encoded.length] = byte
        const shorter = encoded.subarray(0, Math.max(encoded.length - cut, 6))
        shorter[0] = codec.encode(value as never)[0] ?? 0
        shorter[1] = 1
        total(codec, seal(shorter))
      },
    )
    holds(t, 1000, changed)
  })
}

void t.test('values are known to be damaged, short, of another kind or version', async (t) => {
  const good = records.encodeCounter({ next: 1n, used: 0 })
  const rows = [
    ['short', Buffer.alloc(5)],
    ['checksum', Buffer.alloc(40)],
    ['kind', records.encodeOrphan(1n)],
    ['version', seal(Object.assign(Buffer.from(good), { 1: 9 }))],
    ['body', seal(frame(good[0] ?? 0, 1, 3))],
  ] as const
  for (const [reason, value] of rows) t.throws(() => records.decodeCounter(value), { name: 'DamagedRecord', reason })
  t.notOk(intact(Buffer.alloc(0)))
  t.notOk(intact(Buffer.alloc(3)))
})

void t.test('the encoding stays the same: these bytes are on disks', async (t) => {
  const inode: records.Inode = {
    mode: 33188,
    uid: 1e3,
    gid: 50,
    nlink: 2,
    size: 2 ** 40 + 5,
    version: 7,
    rdev: 0,
    flags: 0,
    holes: 0,
    atimeNs: -1n,
    mtimeNs: 2n,
    ctimeNs: 3n,
    btimeNs: 4n,
    blob: 9n,
    parent: 0n,
    entries: 0,
    target: Buffer.alloc(0),
  }
  const name = Buffer.from('ab')
  const held = { session: 1n, owner: 2n, flock: true, exclusive: true, start: 4n, end: 5n, handle: 3n, pid: 258 }
  const rows = [
    ['inode', records.encodeInode(inode)],
    ['inode with flags and holes', records.encodeInode({ ...inode, flags: 0x30, holes: 258 })],
    ['holes', encodeHoles([[258, 259]])],
    ['dentries', records.encodeDentries([{ slot: 3, ino: 258n, type: 8, name }])],
    ['xattrs', records.encodeXattrs([{ name, value: name }])],
    ['counter', records.encodeCounter({ next: 258n, used: 2 })],
    ['orphan', records.encodeOrphan(258n)],
    ['contents', contents(name)],
    ['locks', locks.encodeLocks([held])],
    ['reply', sessions.encodeReply({ seq: 258n, errno: 17, reply: name })],
  ] as const
  for (const [what, value] of rows) t.equal(value.toString('hex'), fixtures[what], what)
})

/** First a byte for the kind, a byte for the version; last the CRC-32 of all before it. */
const fixtures = {
  inode:
    '6901a481e803000032000000020000000500000000010000ffffffffffffffff02000000000000000300000000000000' +
    '0400000000000000070000000000000000000000090000000000000002ab1a33',
  'inode with flags and holes':
    '6902a481e803000032000000020000000500000000010000ffffffffffffffff02000000000000000300000000000000' +
    '040000000000000007000000000000000000000030000000020100000000000009000000000000006d39666c',
  holes: '68010201000003010000a1f1e4c1',
  dentries: '64010308020100000000000002616222842852',
  xattrs: '78010202000000616261622593e4bb',
  counter: '6e010201000000000000020000000000000021272562',
  orphan: '6f010201000000000000012f4f30',
  contents: '6301616254b74fd6',
  locks: '6c01010000000000000002000000000000000300000000000000040000000000000005000000000000000201000003af03de57',
  reply: '72010201000000000000110061629dfc661d',
} as const

function contents(value: Uint8Array): Buffer {
  const framed = records.contentsFrame(value.length)
  framed.set(value, bodyAt)
  return seal(framed)
}

/** The value; undefined for a DamagedRecord. Anything else is thrown on. */
function total(codec: Codec, bytes: Uint8Array): unknown {
  try {
    return codec.decode(bytes)
  } catch (error) {
    if (error instanceof DamagedRecord) return undefined
    throw error
  }
}

function text(value: unknown): string {
  if (typeof value === 'bigint') return `${value}n`
  if (value instanceof Uint8Array) return Buffer.from(value).toString('hex')
  if (Array.isArray(value)) return `[${value.map(text).join()}]`
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  return Object.entries(value)
    .map(([field, one]) => `${field}=${text(one)}`)
    .sort()
    .join(' ')
}
