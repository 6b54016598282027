import { join } from 'node:path'
import t from 'tap'
import { runStorageSuite } from './storage-suite.ts'
import { newDir, newSuited, openStore } from './volume-fixture.ts'

runStorageSuite('store', { newStorage: newSuited, unitBytes: 64 * 1024 })
runStorageSuite('store with a lazy writer', {
  newStorage: (t) => newSuited(t, { limits: { writeDelayMs: 1 << 30 } }),
  unitBytes: 20_000,
})

void t.test('who can not go on after the answer to a flush ends the store, and it is said why', async (t) => {
  const dir = join(await newDir(t), 'store')
  const failed = new Promise<Error>((onFailure) => {
    void openStore(t, dir, { onFailure }).then((store) => {
      store.flush(() => {
        throw new Error('the disk is not to be trusted')
      })
    })
  })
  t.match((await failed).message, /the store in .* has failed: the disk is not to be trusted/)
})
