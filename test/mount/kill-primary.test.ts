import { join } from 'node:path'
import t from 'tap'
import { Cluster } from '../fixtures/cluster.ts'
import { assertStall, loadFaults, now, RunningLoad, reportStall } from '../fixtures/running-load.ts'

// The primary dies under load from two mounts: another takes over, nothing acknowledged is lost, nothing happens twice.

t.setTimeout(300_000)
const stallMaxMs = 1000
/** Each server is to have been killed as primary. */
const rounds = 3

const cluster = await Cluster.start(t)
const other = await cluster.mount('other')

for (let round = 1; round <= rounds; round += 1) {
  void t.test(`the primary is killed, ${round} of ${rounds}`, async (t) => {
    const victim = await cluster.primary()
    const pid = await cluster.pidOf(victim)
    const { mounts } = await cluster.status()
    t.comment(`killing ${victim}; mounts use ${mounts.map((mount) => mount.provider).join(', ')}`)
    const name = `work-${round}`
    const load = await RunningLoad.start(cluster.folder, [
      { id: 'a', directory: join(cluster.tree, name) },
      { id: 'b', directory: join(other, name) },
    ])
    await load.progress(600)

    const killed = now()
    cluster.signal(pid, 'SIGKILL')
    await load.progress(600)
    t.not(await cluster.primary(), victim, 'another member is primary')
    await cluster.startServer(victim)
    t.comment(`in sync again ${(await cluster.resynced()).toFixed(0)} ms after it was started`)
    await load.progress(200)
    const records = await load.stop()

    assertStall(t, reportStall(t, `kill -9 of the primary ${victim}`, records, killed), stallMaxMs)
    t.same(await loadFaults(join(cluster.tree, name), records), [], 'no error, nothing lost, nothing twice')
    t.same(await loadFaults(join(other, name), records), [], 'seen through the other mount as well')
    await cluster.verifyEqual()
  })
}
