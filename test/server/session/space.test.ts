import t from 'tap'
import type { NodeId } from '../../../proto/ids.ts'
import type { ReplicaStatus } from '../../../replication/status.ts'
import { reserveOf, successorWithRoom, VolumeSpace } from '../../../server/session/space.ts'

const totalBytes = 1 << 30
const reserveBytes = reserveOf({ totalBytes })

const status = (role: ReplicaStatus['role'], freeBytes: readonly number[]): ReplicaStatus =>
  ({
    role,
    members: freeBytes.map((free, index) => ({
      node: `s${index + 1}` as NodeId,
      state: 'in-sync',
      space: { freeBytes: free, totalBytes },
    })),
  }) as unknown as ReplicaStatus

void t.test('a new primary knows its space before its first tick', async (t) => {
  const space = new VolumeSpace({ status: () => status('primary', [reserveBytes + 10, reserveBytes + 5]) })
  t.ok(space.freeBytes() > 0, 'the first change of a reign is not refused')
  t.equal(space.get().freeBytes, 5, 'the smallest member counts, without its reserve')
})

void t.test('what was known in an earlier reign is forgotten', async (t) => {
  let now = status('primary', [reserveBytes])
  const space = new VolumeSpace({ status: () => now })
  space.look()
  t.equal(space.freeBytes(), 0)
  now = status('none', [])
  space.look()
  now = status('primary', [reserveBytes + 1])
  t.ok(space.freeBytes() > 0)
})

void t.test('a small disk keeps a share of itself, not all of it', async (t) => {
  t.ok(reserveOf({ totalBytes: 100 << 20 }) < 20 << 20)
  t.equal(reserveOf({ totalBytes: 2 ** 40 }), 64 << 20)
})

void t.test('a full primary gives its place to who has more room, and not back and forth', async (t) => {
  const successor = (own: number, freeBytes: readonly number[]): NodeId | undefined =>
    successorWithRoom({ primary: () => `s${own}` as NodeId, status: () => status('primary', freeBytes) })
  t.equal(successor(1, [1 << 20, 9 << 20, 90 << 20]), 's3')
  t.equal(successor(3, [1 << 20, 9 << 20, 90 << 20]), undefined, 'nobody has more')
  t.equal(successor(1, [1 << 20, 2 << 20, 3 << 20]), undefined, 'all are full: the client is told')
  t.equal(successor(2, [1 << 20, 2 << 20, 3 << 20]), undefined)
  t.equal(successor(1, [1 << 20]), undefined, 'alone')
})
