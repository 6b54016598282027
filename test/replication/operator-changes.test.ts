import t, { type Test } from 'tap'
import { epoch, type NodeId, nodeId } from '../../proto/ids.ts'
import {
  drainSet,
  minInSyncSet,
  mirrorAdded,
  mirrorRemoved,
  type OperatorChange,
  onPartitionSet,
  volumeAttached,
} from '../../replication/operator-changes.ts'
import { isDrained, newRecord, type VolumeRecord } from '../../replication/record.ts'

const [a, b, c, d] = ['a', 'b', 'c', 'd'].map(nodeId) as [NodeId, NodeId, NodeId, NodeId]
const present: VolumeRecord = { ...newRecord([a, b, c], 2), epoch: epoch(4), primary: a }

function changed(t: Test, change: OperatorChange): VolumeRecord {
  t.equal(change.kind, 'changed', change.kind === 'refused' ? change.reason : '')
  return change.kind === 'changed' ? change.record : present
}

const reason = (change: OperatorChange): string | undefined => (change.kind === 'refused' ? change.reason : undefined)

void t.test('nothing that an operator changes makes an epoch, a primary or a set', (t) => {
  const changes = [
    mirrorAdded(present, d),
    mirrorRemoved(present, a),
    minInSyncSet(present, 3),
    onPartitionSet(present, 'stop'),
    drainSet(present, a, 'begin'),
  ]
  for (const change of changes) {
    const { epoch, primary, inSync, eligible } = changed(t, change)
    t.same({ epoch, primary, inSync, eligible }, { epoch: 4, primary: a, inSync: [a, b, c], eligible: [] })
  }
  t.end()
})

void t.test('a mirror is added once, and taken out only where enough is left', (t) => {
  t.same(changed(t, mirrorAdded(present, d)).members, [a, b, c, d])
  t.match(reason(mirrorAdded(present, a)), /already/)
  t.same(changed(t, mirrorRemoved(present, c)).members, [a, b])
  t.match(reason(mirrorRemoved(present, d)), /no mirror/)
  t.match(reason(mirrorRemoved({ ...present, members: [a, b] }, b)), /min-in-sync/)
  t.match(reason(mirrorRemoved({ ...present, inSync: [b], primary: b }, b)), /no other mirror is in sync/)
  t.end()
})

void t.test('one that is taken out or drained is in the way of nobody', (t) => {
  const without = changed(t, mirrorRemoved(present, c))
  t.same([isDrained(without, c), isDrained(without, b)], [true, false])
  const drained = changed(t, drainSet(present, b, 'begin'))
  t.same([isDrained(drained, b), drained.drained], [true, [b]])
  t.same(changed(t, drainSet(drained, b, 'begin')).drained, [b], 'once')
  t.same(changed(t, drainSet(drained, b, 'end')).drained, [])
  t.same(changed(t, mirrorRemoved(drained, b)).drained, [], 'who is added again is not drained')
  t.match(reason(drainSet(present, d, 'begin')), /no mirror/)
  t.end()
})

void t.test('as many are wanted in sync as there are mirrors, at most', (t) => {
  t.equal(changed(t, minInSyncSet(present, 3)).minInSync, 3)
  for (const wrong of [0, 4, 1.5, Number.NaN]) t.ok(reason(minInSyncSet(present, wrong)), `${wrong}`)
  const small = { ...present, inSync: [a], eligible: [b] }
  t.same(changed(t, minInSyncSet(small, 1)).eligible, [b], 'until the primary says otherwise')
  t.end()
})

void t.test('a volume is attached once, at a place of its own, under a number of its own', (t) => {
  const at = (volume: string, name: string) => ({ volume, at: `/${name}`, parent: 1n, name })
  const one = changed(t, volumeAttached(present, at('work', 'work')))
  const two = changed(t, volumeAttached(one, at('more', 'other')))
  t.same(
    two.attached?.map(({ number, volume }) => [number, volume]),
    [
      [1, 'work'],
      [2, 'more'],
    ],
  )
  t.match(reason(volumeAttached(two, at('work', 'again'))), /volume work at \/work already/)
  t.match(reason(volumeAttached(two, at('third', 'other'))), /volume more at \/other/)
  let full = present
  for (let number = 1; number <= 127; number++) full = changed(t, volumeAttached(full, at(`v${number}`, `v${number}`)))
  t.match(reason(volumeAttached(full, at('last', 'last'))), /cannot have more/)
  t.end()
})
