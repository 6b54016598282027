import { join } from 'node:path'
import t from 'tap'
import { TestLab } from '../fixtures/lab-of.ts'
import { assertStall, loadFaults, now, RunningLoad, reportStall } from '../fixtures/running-load.ts'

// A server's host loses power: all its processes and its link at one instant, so nobody says goodbye and nobody attests a
// death. Then, for comparison, its server's process alone, whose end its supervisor attests.

t.setTimeout(600_000)
/** Nobody knows that a lost host is dead, so its lease has to run out. */
const powerMaxMs = 5000
const processMaxMs = 1000

const hosts = await TestLab.start(t, { servers: 3, clients: 2, serversMount: false })
const { lab } = hosts

const losses = [
  { role: 'mirror', what: 'power', maxMs: powerMaxMs },
  { role: 'primary', what: 'power', maxMs: powerMaxMs },
  { role: 'mirror', what: 'process', maxMs: processMaxMs },
  { role: 'primary', what: 'process', maxMs: processMaxMs },
] as const

const directory = (client: 'x' | 'y'): string => join(lab.tree(client), 'work')
const places = [
  { id: 'a', directory: directory('x') },
  { id: 'b', directory: directory('y') },
]

void t.test('servers lose power or die, one after the other', async (t) => {
  const load = await RunningLoad.start(hosts.folder, places)
  const happened: { readonly what: string; readonly maxMs: number; begin: number; lost: number; end: number }[] = []
  for (const { maxMs, role, what } of losses) {
    const begin = now()
    const victim = (await hosts.roles('x'))[role]
    await load.progress(300)
    const lost = now()
    if (what === 'power') await lab.kill(victim)
    else process.kill(hosts.serverPid(victim), 'SIGKILL')
    await load.progress(300)
    if (role === 'primary') t.not(await hosts.primary('x'), victim, 'another host is primary')
    if (what === 'power') await lab.start(victim)
    await lab.inSync()
    await load.progress(100)
    happened.push({ what: `loss of ${what} of the ${role} ${victim}`, maxMs, begin, lost, end: now() })
  }
  const records = await load.stop()
  for (const { begin, end, lost, maxMs, what } of happened) {
    assertStall(t, reportStall(t, what, records, lost, { begin, end }), maxMs)
  }
  t.same(await loadFaults(directory('x'), records), [], 'no error, nothing lost, nothing twice')
  t.same(await loadFaults(directory('y'), records), [], 'seen through the other client as well')
  await hosts.verifyEqual('x')
})
