import t from 'tap'
import { epoch, incarnation, type NodeId, nodeId } from '../../proto/ids.ts'
import { newRecord, type VolumeRecord } from '../../replication/record.ts'
import { grown, handedOver, shrunk, takenOver } from '../../replication/record-changes.ts'

const [a, b, c] = ['a', 'b', 'c'].map(nodeId) as [NodeId, NodeId, NodeId]
const self = { node: b, incarnation: incarnation('b2') }
const reigned: VolumeRecord = {
  ...newRecord([a, b, c]),
  epoch: epoch(4),
  primary: a,
  incarnations: { a: incarnation('a1') },
}

void t.test('a takeover takes the old primary out, and nobody else (S22)', (t) => {
  const next = takenOver(reigned, self, epoch(5))
  t.same(next.inSync, [b, c])
  t.equal(next.primary, b)
  t.equal(next.epoch, 5)
  t.same(next.incarnations, { a: 'a1', b: 'b2' })
  t.end()
})

void t.test('a primary that started anew wins an epoch like anybody else, and the set stays', (t) => {
  const next = takenOver({ ...reigned, primary: b }, self, epoch(5))
  t.same(next.inSync, [a, b, c])
  t.end()
})

void t.test('shrinking makes an epoch, growing does not', (t) => {
  const small = shrunk(reigned, [c])
  t.same([small.epoch, small.inSync], [5, [a, b]])
  const big = grown(small, c, incarnation('c7'))
  t.same([big.epoch, big.inSync, big.incarnations.c], [5, [a, b, c], 'c7'])
  t.end()
})

void t.test('who leaves a set that may not commit without it stays eligible, until things commit again (R11)', (t) => {
  const strict = { ...reigned, minInSync: 2 }
  const one = shrunk(shrunk(strict, [c]), [b])
  t.same([one.inSync, one.eligible], [[a], [b]], 'c had left a set of three, which went on without it')
  t.same(takenOver(one, self, epoch(9)).inSync, [b], 'an eligible member begins alone')
  t.same(takenOver(one, self, epoch(9)).eligible, [a], 'and the old set lacks nothing either')
  t.same(grown(one, c, incarnation('c7')).eligible, [], 'two commit again, so b now lacks something')
  t.end()
})

void t.test('a hand-over leaves the set as it is', (t) => {
  const next = handedOver(reigned, c)
  t.same([next.epoch, next.primary, next.inSync], [5, c, [a, b, c]])
  t.end()
})
