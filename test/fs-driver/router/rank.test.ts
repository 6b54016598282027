import t from 'tap'
import { rank, worthMoving } from '../../../fs-driver/router/rank.ts'
import type { Advert } from '../../../proto/advert.ts'
import type { Incarnation, NodeId } from '../../../proto/ids.ts'

const advert = (node: string, more: Partial<Advert> = {}): Advert => ({
  node: node as NodeId,
  incarnation: '1' as Incarnation,
  address: node,
  remote: '',
  host: 'here',
  load: 0,
  role: 'mirror',
  ...more,
})

const by = { pinned: undefined, host: 'here', roundTripMs: () => undefined }
const order = (adverts: readonly Advert[], how: Parameters<typeof rank>[1] = by): string[] =>
  rank(adverts, how).map(({ node }) => node)

void t.test('same host comes first, then the nearest, then the least loaded, then the primary', async (t) => {
  const far = advert('a', { host: 'there' })
  const near = advert('b', { host: 'there' })
  const roundTripMs = (node: NodeId): number => (node === 'a' ? 30 : 3)
  t.same(order([far, near, advert('c')], { ...by, roundTripMs }), ['c', 'b', 'a'])
  t.same(order([advert('a', { load: 500 }), advert('b')]), ['b', 'a'])
  t.same(order([advert('a'), advert('b', { role: 'primary', load: 9 })]), ['b', 'a'], 'small loads count as equal')
})

void t.test('who does not serve comes last, wherever it is', async (t) => {
  t.same(order([advert('a', { role: 'none' }), advert('b', { host: 'there' })]), ['b', 'a'])
})

void t.test('a pinned provider is the only one', async (t) => {
  t.same(order([advert('a'), advert('b')], { ...by, pinned: 'b' as NodeId }), ['b'])
  t.same(order([advert('a')], { ...by, pinned: 'b' as NodeId }), [])
})

void t.test('a session moves to its own host, or there to the primary, not for a little load', async (t) => {
  const [a, b] = [advert('a'), advert('b')]
  t.equal(worthMoving(a, b, by), false)
  t.equal(worthMoving(a, advert('b', { load: 9999 }), by), false)
  t.equal(worthMoving(advert('a', { role: 'primary' }), b, by), true)
  t.equal(worthMoving(a, advert('b', { host: 'there', role: 'primary' }), by), true)
  t.equal(worthMoving(advert('a', { host: 'there', role: 'primary' }), b, by), false)
  t.equal(worthMoving(a, advert('b', { role: 'none' }), by), true)
})
