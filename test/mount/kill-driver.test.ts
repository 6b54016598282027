import { join } from 'node:path'
import t from 'tap'
import { Cluster } from '../fixtures/cluster.ts'
import { loadFaults, now, RunningLoad, reportStall } from '../fixtures/running-load.ts'
import { processesNaming } from '../fixtures/sweep.ts'
import { expect, waitFor } from '../fixtures/wait.ts'

// The process that answers a mount's kernel dies under load. Its supervisor holds the mount, and starts another. Where the
// supervisor dies, it is the driver that starts another.

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

void t.test('the supervisor of the mount is killed, then the driver, again and again', async (t) => {
  const directory = join(cluster.tree, 'supervised')
  const load = await RunningLoad.start(cluster.folder, [{ id: 'b', directory }])
  await load.progress(200)
  for (let round = 1; round <= rounds; round += 1) {
    const former = expect(cluster.supervisorOf(cluster.tree), 'the mount has no supervisor')
    cluster.signal(former, 'SIGKILL')
    const next = async (): Promise<true | undefined> => {
      const { mounts } = await cluster.status()
      return (
        mounts.some(({ path, pid, provider }) => path === cluster.tree && pid !== former && provider !== null) ||
        undefined
      )
    }
    await waitFor(next, { what: 'another supervisor, of which the status knows', limitMs: 20_000 })
    await cluster.killDriver(cluster.tree)
    await load.progress(200)
  }
  t.same(await loadFaults(directory, await load.stop()), [], 'no error, nothing lost, nothing twice')
  await cluster.verifyEqual()
})

void t.test('a mount whose supervisor is killed just then ends with the others', async (t) => {
  cluster.signal(expect(cluster.supervisorOf(cluster.tree), 'the mount has no supervisor'), 'SIGKILL')
  await cluster.mustBanyan(['down'], { limitMs: 60_000 })
  t.notOk(cluster.isMounted(cluster.tree))
  await waitFor(() => processesNaming(cluster.state).length === 0 || undefined, {
    what: 'every process to end',
    limitMs: 10_000,
  })
})
