import { join } from 'node:path'
import t from 'tap'
import { Cluster } from '../fixtures/cluster.ts'
import { loadFaults, now, RunningLoad, reportStall } from '../fixtures/running-load.ts'

// All servers die at once under load. The machine did not: what was acknowledged is in the hands of its kernel.

t.setTimeout(300_000)

const cluster = await Cluster.start(t)
const other = await cluster.mount('other')

void t.test('all servers are killed at once and started again', async (t) => {
  const { members } = await cluster.volume()
  const load = await RunningLoad.start(cluster.folder, [
    { id: 'a', directory: join(cluster.tree, 'work') },
    { id: 'b', directory: join(other, 'work') },
  ])
  await load.progress(600)

  const pids = members.flatMap((member) => (member.pid === null ? [] : [member.pid]))
  t.equal(pids.length, 3, 'three processes are known')
  const killed = now()
  for (const pid of pids) cluster.signal(pid, 'SIGKILL')
  for (const { name } of members) await cluster.waitForState(name, 'down')
  await Promise.all(members.map(({ name }) => cluster.startServer(name)))
  t.comment(`in sync again ${(await cluster.resynced()).toFixed(0)} ms after they were started`)
  await load.progress(300)
  const records = await load.stop()

  reportStall(t, 'kill -9 of all three', records, killed)
  t.same(
    await loadFaults(join(cluster.tree, 'work'), records),
    [],
    'all that was acknowledged or synced is there, once',
  )
  t.same(await loadFaults(join(other, 'work'), records), [], 'through the other mount as well, mounted all the time')
  await cluster.verifyEqual()
})
