import { join } from 'node:path'
import t from 'tap'
import { Cluster } from '../fixtures/cluster.ts'
import {
  assertStall,
  loadFaults,
  medianStall,
  now,
  RunningLoad,
  reportStall,
  type Stall,
} from '../fixtures/running-load.ts'

// A server that is not the primary dies under load from two mounts: nobody sees an error, and it comes back by itself.

t.setTimeout(300_000)
/** With an attested death a mirror costs no lease: what remains is noticing it and one change of the record. */
const stallMaxMs = 300
/** Any of them, on a machine on which other things run. */
const eachMaxMs = 1000
/** The other one is a mirror, too, when the first is back. */
const kills = [0, 1, 0]
const stalls: Stall[] = []

const cluster = await Cluster.start(t)
const other = await cluster.mount('other')

for (const [index, which] of kills.entries()) {
  void t.test(`mirror ${which + 1} of 2 is killed, the ${index + 1}. of ${kills.length} kills`, async (t) => {
    const victim = (await cluster.others())[which] ?? ''
    const pid = await cluster.pidOf(victim)
    const { mounts } = await cluster.status()
    t.comment(`killing ${victim}; mounts use ${mounts.map((mount) => mount.provider).join(', ')}`)
    const name = `work-${index}`
    const load = await RunningLoad.start(cluster.folder, [
      { id: 'a', directory: join(cluster.tree, name) },
      { id: 'b', directory: join(other, name) },
    ])
    await load.progress(600)

    const killed = now()
    cluster.signal(pid, 'SIGKILL')
    await load.progress(600)
    await cluster.waitForState(victim, 'down')
    await cluster.startServer(victim)
    t.comment(`in sync again ${(await cluster.resynced()).toFixed(0)} ms after it was started`)
    await load.progress(200)
    const records = await load.stop()

    const stall = reportStall(t, `kill -9 of ${victim}`, records, killed)
    stalls.push(stall)
    assertStall(t, stall, eachMaxMs)
    t.same(await loadFaults(join(cluster.tree, name), records), [], 'no error, nothing lost, nothing twice')
    t.same(await loadFaults(join(other, name), records), [], 'seen through the other mount as well')
    await cluster.verifyEqual()
  })
}

void t.test('the death of a mirror is hardly felt', (t) => {
  t.equal(stalls.length, kills.length)
  assertStall(t, medianStall(stalls), stallMaxMs)
  t.end()
})
