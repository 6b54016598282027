import { join } from 'node:path'
import t from 'tap'
import type { WorkItem } from '../../../replication/work.ts'
import { ResyncLog } from '../../../server/store/resync-log.ts'
import { newDir } from './volume-fixture.ts'

void t.test('a list of work may be longer than the arguments of a call', async (t) => {
  const path = join(await newDir(t), 'resync')
  const work = Array.from({ length: 300_000 }, (_, n): WorkItem => {
    return { kind: 'range', blob: BigInt(n), offset: 0, length: 10 }
  })
  const log = ResyncLog.create(path, work)
  log.step([])
  log.stored(log.reached)
  const { progress, remaining } = log.mark
  t.same(progress, { bytesDone: 10, bytesTotal: 3_000_000, itemsDone: 1, itemsTotal: 300_000 })
  t.equal(remaining.length, 299_999)
  log.close()
  const again = ResyncLog.open(path, (id) => (id === log.id ? 1 : 0))
  t.same(again?.mark.progress, progress)
  t.equal(again?.mark.remaining.length, 299_999)
  again?.close()
})
