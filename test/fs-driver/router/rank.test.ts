import t from 'tap'
import { rank, worthMoving } from '../../../fs-driver/router/rank.ts'
import type { Advert } from '../../../proto/advert.ts'
import type { NodeId } from '../../../proto/ids.ts'
import { localAdvert } from '../../fixtures/local-advert.ts'

const by = { pinned: undefined, host: 'here', roundTripMs: () => undefined }
const order = (adverts: readonly Advert[], how: Parameters<typeof rank>[1] = by): string[] =>
  rank(adverts, how).map(({ node }) => node)

void t.test('same host comes first, then the nearest, then the least loaded, then the primary', async (t) => {
  const far = localAdvert('a', { host: 'there' })
  const near = localAdvert('b', { host: 'there' })
  const roundTripMs = (node: NodeId): number => (node === 'a' ? 30 : 3)
  t.same(order([far, near, localAdvert('c')], { ...by, roundTripMs }), ['c', 'b', 'a'])
  t.same(order([localAdvert('a', { load: 500 }), localAdvert('b')]), ['b', 'a'])
  t.same(
    order([localAdvert('a'), localAdvert('b', { role: 'primary', load: 9 })]),
    ['b', 'a'],
    'small loads count as equal',
  )
})

void t.test('who does not serve comes last, wherever it is', async (t) => {
  t.same(order([localAdvert('a', { role: 'none' }), localAdvert('b', { host: 'there' })]), ['b', 'a'])
})

void t.test('a pinned provider is the only one', async (t) => {
  t.same(order([localAdvert('a'), localAdvert('b')], { ...by, pinned: 'b' as NodeId }), ['b'])
  t.same(order([localAdvert('a')], { ...by, pinned: 'b' as NodeId }), [])
})

void t.test('a session moves to its own host, or there to the primary, not for a little load', async (t) => {
  const [a, b] = [localAdvert('a'), localAdvert('b')]
  t.equal(worthMoving(a, b, by), false)
  t.equal(worthMoving(a, localAdvert('b', { load: 9999 }), by), false)
  t.equal(worthMoving(localAdvert('a', { role: 'primary' }), b, by), true)
  t.equal(worthMoving(a, localAdvert('b', { host: 'there', role: 'primary' }), by), true)
  t.equal(worthMoving(localAdvert('a', { host: 'there', role: 'primary' }), b, by), false)
  t.equal(worthMoving(a, localAdvert('b', { role: 'none' }), by), true)
})
