import assert from 'node:assert/strict'
import { randomInt } from 'node:crypto'
import fc from 'fast-check'
import t from 'tap'
import { PeerFrame } from '../../../proto/generated/peer-service.ts'
import type { Epoch, Incarnation, Key, Seq } from '../../../proto/ids.ts'
import type { Message, StreamContent } from '../../../replication/message.ts'
import type { WorkItem } from '../../../replication/work.ts'
import { messageFrom, messageTo } from '../../../server/rpc/message-codec.ts'
import { peerFrameBytes, peerFrameFrom } from '../../../server/rpc/peer-frame.ts'
import { BadFrame, Bodies } from '../../../server/rpc/wire.ts'

const count = fc.maxSafeNat()
const seq = count.map((value) => value as Seq)
const epoch = count.map((value) => value as Epoch)
const ms = fc.double({ noNaN: true, noDefaultInfinity: true }).map((value) => (Object.is(value, -0) ? 0 : value))
const bytes = fc.uint8Array({ maxLength: 40 }).map((value) => Buffer.from(value))
const key = bytes.map((value) => value.toString('latin1') as Key)
const u64 = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n })
const incarnation = fc.string().map((value) => value as Incarnation)
const mark = fc.record({ epoch, seq, chain: fc.nat({ max: 0xffffffff }) })
const history = fc.array(fc.record({ epoch, first: seq }), { maxLength: 4 })
const maybe = <T>(of: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> => fc.option(of, { nil: undefined })

const item: fc.Arbitrary<WorkItem> = fc.oneof(
  fc.record({ kind: fc.constant('keys' as const), keys: fc.array(key, { maxLength: 4 }) }),
  fc.record({ kind: fc.constant('keyRange' as const), from: key, to: maybe(key) }),
  fc.record({ kind: fc.constant('range' as const), blob: u64, offset: count, length: count }),
  fc.record({ kind: fc.constant('blobRange' as const), from: u64, to: maybe(u64) }),
)
const progress = fc.record({ bytesDone: count, bytesTotal: count, itemsDone: count, itemsTotal: count })
const slice = fc.record({ at: seq, item, body: bytes, rest: maybe(item), movedBytes: count, damaged: fc.boolean() })
const digest = fc.record({
  digest: bytes,
  damaged: fc.array(fc.string(), { maxLength: 3 }),
  detail: fc.array(fc.tuple(fc.string(), fc.string()), { maxLength: 3 }),
})
const content: fc.Arbitrary<StreamContent> = fc.oneof(
  fc.record({
    kind: fc.constant('entries' as const),
    entries: fc.array(fc.record({ epoch, seq, chain: fc.nat({ max: 0xffffffff }), body: bytes }), { maxLength: 3 }),
  }),
  fc.record({ kind: fc.constant('commit' as const) }),
  fc.record({ kind: fc.constant('flush' as const), ticket: count }),
  fc.record({ kind: fc.constant('slice' as const), ticket: count, slice }),
  fc.record({ kind: fc.constant('verify' as const), ticket: count, item, detail: fc.boolean() }),
)

/** One for every kind: a new kind does not compile until it stands here. */
const kinds: { readonly [K in Message['kind']]: Record<string, fc.Arbitrary<unknown>> } = {
  heartbeat: { sentAt: ms, to: incarnation, attempt: count, number: count, echo: ms, leaseMs: ms, committed: seq },
  heartbeatReply: {
    sentAt: ms,
    echo: ms,
    promiseMs: ms,
    attempt: count,
    last: seq,
    recalled: seq,
    durable: seq,
    applied: seq,
    progress: maybe(progress),
    space: fc.record({ freeBytes: count, totalBytes: count }),
  },
  refused: {},
  attach: {
    attempt: count,
    last: mark,
    base: mark,
    history,
    applied: seq,
    durable: seq,
    amnesia: fc.boolean(),
    resyncing: fc.boolean(),
    everything: fc.boolean(),
  },
  attached: {
    attempt: count,
    mode: fc.constantFrom('follow', 'resync'),
    from: seq,
    base: mark,
    history,
    work: fc.array(item, { maxLength: 3 }),
  },
  stream: { attempt: count, number: count, committed: seq, content },
  ack: { attempt: count, last: seq, recalled: seq },
  flushed: { attempt: count, ticket: count, durable: seq },
  fetch: { attempt: count, ticket: count, wanted: fc.array(fc.record({ item, digests: bytes }), { maxLength: 3 }) },
  caughtUp: { attempt: count },
  leave: { reason: fc.string() },
  commitQuery: { ticket: count },
  commitAnswer: { to: incarnation, ticket: count, committed: seq },
  verified: { attempt: count, ticket: count, at: seq, digest },
  recovering: {
    last: mark,
    has: fc.constantFrom('everything', 'a beginning', 'parts'),
    heard: fc.array(incarnation, { maxLength: 3 }),
  },
}

const message: fc.Arbitrary<Message> = fc.oneof(
  ...Object.entries(kinds).map(([kind, fields]) =>
    fc.record({ kind: fc.constant(kind), epoch, incarnation, ...fields }).map((made) => made as unknown as Message),
  ),
)

/** Objects without the prototypes that fast-check and the codec give them. */
function plain(value: unknown): unknown {
  if (value instanceof Uint8Array) return Buffer.from(value).toString('hex')
  if (Array.isArray(value)) return value.map(plain)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([name, field]) => [name, plain(field)]))
}

const seed = Number(process.env['SEED'] ?? randomInt(2 ** 31))
function encoded(of: Message): Buffer {
  const bodies: Uint8Array[] = []
  const value = messageTo(of, bodies)
  const messages = [{ kind: { $case: 'replica', value } as const }]
  return peerFrameBytes({ hello: undefined, messages, bodies: bodies.map((body) => Buffer.from(body)) })
}

function decoded(frame: PeerFrame): Message | undefined {
  const kind = frame.messages[0]?.kind
  return kind?.$case === 'replica' ? messageFrom(kind.value, new Bodies(frame.bodies)) : undefined
}

void t.test(`every message comes back as it was sent (SEED=${seed})`, async (t) => {
  const same = fc.property(message, (sent) => {
    assert.deepStrictEqual(plain(decoded(peerFrameFrom(encoded(sent)))), plain(sent))
  })
  fc.assert(same, { seed, numRuns: 500 })
  t.pass()
})

void t.test(`a frame reads as the generated code reads it (SEED=${seed})`, async (t) => {
  const same = fc.property(message, (sent) => {
    const bytes = encoded(sent)
    assert.deepStrictEqual(plain(peerFrameFrom(bytes)), plain(PeerFrame.decode(bytes)))
    assert.deepStrictEqual(
      plain(PeerFrame.decode(PeerFrame.encode(peerFrameFrom(bytes)).finish())),
      plain(PeerFrame.decode(bytes)),
    )
  })
  fc.assert(same, { seed, numRuns: 200 })
  t.pass()
})

void t.test(`mutated bytes give a message or a typed error (SEED=${seed})`, async (t) => {
  const flips = fc.array(fc.tuple(fc.nat(), fc.nat({ max: 255 })), { minLength: 1, maxLength: 4 })
  const total = fc.property(message, flips, fc.nat(), (sent, changes, cut) => {
    const whole = encoded(sent)
    const mutated = Buffer.from(cut % 3 === 0 ? whole.subarray(0, cut % (whole.length + 1)) : whole)
    for (const [at, value] of changes) if (mutated.length > 0) mutated[at % mutated.length] = value
    let frame: PeerFrame
    try {
      frame = peerFrameFrom(mutated)
    } catch {
      return // no protobuf: gRPC ends the stream with a status
    }
    try {
      decoded(frame)
    } catch (error) {
      if (!(error instanceof BadFrame)) throw error
    }
  })
  fc.assert(total, { seed, numRuns: 3000 })
  t.pass()
})
