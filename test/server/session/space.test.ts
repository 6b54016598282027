import t from 'tap'
import type { NodeId } from '../../../proto/ids.ts'
import type { ReplicaStatus } from '../../../replication/status.ts'
import { reserveBytes, VolumeSpace } from '../../../server/session/space.ts'

const status = (role: ReplicaStatus['role'], freeBytes: readonly number[]): ReplicaStatus =>
  ({
    role,
    members: freeBytes.map((free, index) => ({
      node: `s${index + 1}` as NodeId,
      state: 'in-sync',
      space: { freeBytes: free, totalBytes: 1 << 30 },
    })),
  }) as unknown as ReplicaStatus

void t.test('a new primary knows its space before its first tick', async (t) => {
  const space = new VolumeSpace({ status: () => status('primary', [reserveBytes + 10, reserveBytes + 5]) })
  t.ok(space.hasRoom(), 'the first change of a reign is not refused')
  t.equal(space.get().freeBytes, 5, 'the smallest member counts, without its reserve')
})

void t.test('what was known in an earlier reign is forgotten', async (t) => {
  let now = status('primary', [reserveBytes])
  const space = new VolumeSpace({ status: () => now })
  space.look()
  t.notOk(space.hasRoom())
  now = status('none', [])
  space.look()
  now = status('primary', [reserveBytes + 1])
  t.ok(space.hasRoom())
})
