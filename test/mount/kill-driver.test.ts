import { join } from 'node:path'
import t from 'tap'
import { Cluster } from '../fixtures/cluster.ts'
import { loadFaults, now, RunningLoad, reportStall } from '../fixtures/running-load.ts'
import { expect, waitFor } from '../fixtures/wait.ts'

// The process that answers a mount's kernel dies under load. Its supervisor holds the mount, and starts another.

t.setTimeout(300_000)
const rounds = 3

const cluster = await Cluster.start(t)

void t.test('the driver is killed again and again', async (t) => {
  const load = await RunningLoad.start(cluster.folder, [{ id: 'a', directory: join(cluster.tree, 'work') }])
  await load.progress(400)
  const began = now()
  for (let round = 1; round <= rounds; round += 1) {
    const driver = expect(cluster.driverOf(cluster.tree), 'the mount has no driver')
    cluster.signal(driver, 'SIGKILL')
    await waitFor(() => [cluster.driverOf(cluster.tree)].find((pid) => pid !== undefined && pid !== driver), {
      what: 'another driver to run',
      limitMs: 10_000,
    })
    await load.progress(300)
  }
  const records = await load.stop()
  reportStall(t, `kill -9 of the driver, ${rounds} times`, records, began)
  t.same(await loadFaults(join(cluster.tree, 'work'), records), [], 'no error, nothing lost, nothing twice')
  await cluster.verifyEqual()
})
