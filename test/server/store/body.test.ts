import { crc32 } from 'node:zlib'
import fc from 'fast-check'
import t from 'tap'
import type { Key } from '../../../proto/ids.ts'
import { decodeBody, decodeHead, encodeBody, headLength } from '../../../server/store/body.ts'
import { checkBody } from '../../../server/store/body-check.ts'
import { joined } from '../../../server/store/crc-join.ts'
import type { Effect } from '../../../server/store/effect.ts'
import { decodeSliceBody, encodeSliceBody } from '../../../server/store/slice-body.ts'
import { blockBytes } from '../../../server/store/sums.ts'
import { holds } from '../../fixtures/random.ts'

const key = fc.uint8Array({ minLength: 1, maxLength: 40 }).map((one) => Buffer.from(one).toString('latin1') as Key)
const blob = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n })
const small = fc.uint8Array({ maxLength: 300 }).map((one) => Buffer.from(one))
const large = fc.tuple(fc.integer({ min: 16_000, max: 200_000 }), fc.nat(255)).map(([size, fill]) => {
  const data = Buffer.alloc(size, fill)
  data.writeUInt32BE(size, 0)
  return data
})
const offset = fc.oneof(
  fc.nat(300_000),
  fc.maxSafeNat().map((at) => Math.floor(at / 2)),
)
const effect: fc.Arbitrary<Effect> = fc.oneof(
  fc.record({ kind: fc.constant('put' as const), key, value: small }),
  fc.record({ kind: fc.constant('put' as const), key, value: small, quiet: fc.constant(true as const) }),
  fc.record({ kind: fc.constant('delete' as const), key }),
  fc.record({ kind: fc.constant('blob.write' as const), blob, offset, data: fc.oneof(small, large) }),
  fc.record({ kind: fc.constant('blob.truncate' as const), blob, size: fc.maxSafeNat() }),
  fc.record({ kind: fc.constant('blob.zero' as const), blob, offset, count: fc.maxSafeNat() }),
  fc.record({ kind: fc.constant('blob.delete' as const), blob }),
)
const effects = fc.array(effect, { maxLength: 6 })

void t.test('a body is read back as it was made, and its head alone tells all but the bytes', async (t) => {
  holds(
    t,
    200,
    fc.property(effects, (made) => {
      const body = encodeBody(made)
      t.same(decodeBody(body), made)
      const head = decodeHead(body.subarray(0, headLength(body)))
      return head?.length === made.length && made.every(({ kind }, index) => head[index]?.kind === kind)
    }),
  )
})

void t.test('the check of a body is its crc32, and its parts are those of the blocks', async (t) => {
  holds(
    t,
    200,
    fc.property(effects, (made) => {
      const body = encodeBody(made)
      const { check, parts } = checkBody(body)
      const writes = made.flatMap((one) => (one.kind === 'blob.write' && one.data.length >= 16_384 ? [one] : []))
      return (
        check === crc32(body) &&
        parts.length === writes.length &&
        writes.every(({ offset, data }, index) => {
          const end = blockBytes - (offset % blockBytes)
          return parts[index]?.[0] === crc32(data.subarray(0, end))
        })
      )
    }),
  )
  const [a, b] = [Buffer.from('one part'), Buffer.from('and another')]
  t.equal(joined(crc32(a), crc32(b), b.length), crc32(Buffer.concat([a, b])))
})

void t.test('whatever the bytes, a body or a slice is read or refused', async (t) => {
  const sums = fc.array(fc.record({ block: fc.nat(), sum: fc.nat(2 ** 32 - 1) }))
  const blobs = fc.array(fc.record({ blob, size: fc.maxSafeNat() }))
  const damage = fc.array(fc.tuple(fc.nat(1000), fc.nat(255)), { maxLength: 4 })
  holds(
    t,
    300,
    fc.property(effects, sums, blobs, damage, fc.nat(50), (made, sums, blobs, places, cut) => {
      const slice = encodeSliceBody({ effects: made, sums, blobs })
      t.same(decodeSliceBody(slice), { effects: made, sums, blobs })
      for (const whole of [slice, encodeBody(made)]) {
        const bytes = Buffer.from(whole).subarray(0, Math.max(0, whole.length - cut))
        for (const [at, value] of places) if (at < bytes.length) bytes[at] = value
        decodeBody(bytes)
        decodeHead(bytes)
        decodeSliceBody(bytes)
        checkBody(bytes)
      }
    }),
  )
})
