import { runStorageSuite } from './storage-suite.ts'
import { newSuited } from './volume-fixture.ts'

runStorageSuite('store', { newStorage: newSuited, unitBytes: 64 * 1024 })
runStorageSuite('store with a lazy writer', {
  newStorage: (t) => newSuited(t, { limits: { writeDelayMs: 1 << 30 } }),
  unitBytes: 20_000,
})
