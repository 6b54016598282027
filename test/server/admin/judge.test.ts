import t from 'tap'
import type { NodeId } from '../../../proto/ids.ts'
import type { ItemDigest } from '../../../replication/ports.ts'
import { allEqual, differences } from '../../../server/admin/judge.ts'

interface Copy {
  readonly parts: Readonly<Record<string, string>>
  readonly damaged?: readonly string[]
}

const digests = (copies: Readonly<Record<string, Copy>>): ReadonlyMap<NodeId, ItemDigest> =>
  new Map(
    Object.entries(copies).map(([node, { parts, damaged = [] }]) => [
      node as NodeId,
      { digest: Buffer.from(JSON.stringify(parts)), damaged, detail: Object.entries(parts) },
    ]),
  )

const judged = (copies: Readonly<Record<string, Copy>>): unknown =>
  differences(digests(copies)).map(({ part, members, decided }) => `${part}: ${members.join()} ${decided}`)

void t.test('equal copies that pass their checksums are equal', async (t) => {
  const same = { s1: { parts: { a: '1' } }, s2: { parts: { a: '1' } } }
  t.equal(allEqual(digests(same)), true)
  t.same(judged(same), [])
  t.equal(allEqual(digests({ ...same, s2: { parts: { a: '1' }, damaged: ['a'] } })), false)
  t.equal(allEqual(digests({ ...same, s2: { parts: { a: '2' } } })), false)
})

void t.test('the majority is right, also about what is not there', async (t) => {
  const two = { s1: { parts: { a: '1', b: '1' } }, s2: { parts: { a: '1', b: '1' } } }
  t.same(judged({ ...two, s3: { parts: { a: '2', b: '1' } } }), ['a: s3 true'])
  t.same(judged({ ...two, s3: { parts: { b: '1' } } }), ['a: s3 true'])
  t.same(judged({ ...two, s3: { parts: { a: '1', b: '1', c: '1' } } }), ['c: s3 true'])
})

void t.test('a copy that fails its own checksum is wrong, even when only one other is left', async (t) => {
  t.same(judged({ s1: { parts: { a: '1' }, damaged: ['a'] }, s2: { parts: { a: '2' } } }), ['a: s1 true'])
  const equal = { s1: { parts: { a: '1' }, damaged: ['a'] }, s2: { parts: { a: '1' } } }
  t.same(judged(equal), ['a: s1 true'], 'its bytes are right, what it knows of them is not')
})

void t.test('without majority or checksum nobody is said to be right', async (t) => {
  t.same(judged({ s1: { parts: { a: '1' } }, s2: { parts: { a: '2' } } }), ['a: s1,s2 false'])
  const bad = { damaged: ['a'] }
  t.same(judged({ s1: { parts: { a: '1' }, ...bad }, s2: { parts: { a: '2' }, ...bad } }), ['a: s1,s2 false'])
})
