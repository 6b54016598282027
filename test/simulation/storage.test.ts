import t from 'tap'
import { origin } from '../../replication/entry.ts'
import { everything } from '../../replication/work.ts'
import { Disk } from './disk.ts'
import { Prng } from './random.ts'
import { shortJournal } from './scenario.ts'
import { SimStorage } from './storage.ts'

void t.test('a flush that was begun before a resync does not take its mark from the disk', async (t) => {
  const disk = new Disk()
  const later: (() => void)[] = []
  const storage = new SimStorage(disk, shortJournal, {
    point: () => {},
    later: (_delayMs, then) => void later.push(then),
    random: () => 0.9,
    appended: () => {},
    applied: () => {},
  })
  let flushed = false
  storage.flush(() => {
    flushed = true
  })
  const base = { ...origin, seq: 7, epoch: 2 } as typeof origin
  storage.beginResync(base, [], everything)
  for (const then of later) then()
  t.ok(flushed)
  disk.crash(new Prng(1))
  t.ok(disk.os.mark, 'what is there is not whole')
  t.equal(disk.os.base.seq, 7)
})
