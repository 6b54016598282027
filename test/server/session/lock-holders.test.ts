import t from 'tap'
import { LockHolders, lockedInodesMax } from '../../../server/session/lock-holders.ts'
import { locksKey } from '../../../server/store/keys.ts'
import { encodeLocks } from '../../../server/store/lock-records.ts'
import { MemoryVolume } from '../../fixtures/memory-volume.ts'

void t.test('one mount has locks on so many files and no more; others are not in its way', async (t) => {
  const volume = new MemoryVolume()
  const lock = { session: 1n, owner: 1n, flock: false, exclusive: true, start: 0n, end: 9n, handle: 2n, pid: 3 }
  const record = encodeLocks([lock])
  const holders = new LockHolders({ pending: volume, scan: async (...how) => volume.scan(...how) })
  for (let ino = 1n; ino <= lockedInodesMax; ino++) {
    if (!holders.mayLock(1n, ino)) t.fail(`inode ${ino} may not be locked`)
    volume.values.set(locksKey(ino), record)
    holders.look(1n, ino)
  }
  const next = BigInt(lockedInodesMax + 1)
  t.equal(holders.mayLock(1n, next), false, 'one more')
  t.equal(holders.mayLock(1n, 5n), true, 'another stretch of one that is locked')
  t.equal(holders.mayLock(2n, next), true, 'another mount')
  volume.values.delete(locksKey(5n))
  holders.look(1n, 5n)
  t.equal(holders.mayLock(1n, next), true, 'one was unlocked')
})
