import { join } from 'node:path'
import t, { type Test } from 'tap'
import { TestLab } from '../fixtures/lab-of.ts'
import { violations } from '../fixtures/register-history.ts'
import { RunningRegisters } from '../fixtures/running-registers.ts'
import { waitFor } from '../fixtures/wait.ts'

// The network between three servers, two clients and the directory fails in many ways, while processes on both clients
// change and look at the same registers. Whoever can reach the directory goes on; an order of all calls explains what each
// saw; who is cut off waits and sees nothing that is over. Afterwards all is in sync soon, and equal.

t.setTimeout(1_800_000)
const seed = Number(process.env['BANYAN_SEED'] ?? Date.now() % 2 ** 31)
/** For how long the network is bad, where it is bad for a time: a minute in the long form, `npm run soak`. */
const badMs = Number(process.env['BANYAN_BAD_NETWORK_MS'] ?? 10_000)
const flapMs = 2000
const processesEach = 3
/** Calls that go on while a link is cut: leases have run out by then, and somebody else has taken over. */
const manyCalls = 100
/** With a fifth of all packets lost a call takes half a second, and members leave the set and come back all the time. */
const someCalls = 15
/** Where a client is cut off: less long than it takes until its side says so (`on-partition`), after which calls fail. */
const fewCalls = 50
const inSyncMaxMs = 20_000
/** For a driver to see that its provider is on the wrong side, and to go to another. */
const leavesMaxMs = 12_000

const hosts = await TestLab.start(t, { servers: 3, clients: 2, serversMount: false })
const { lab } = hosts
t.comment(`BANYAN_SEED=${seed}`)

interface Scene {
  readonly primary: string
  readonly mirror: string
}

interface Partition {
  readonly what: string
  readonly happens: (scene: Scene) => Promise<void>
  /** Clients that go on meanwhile, for so many calls of each process; the others wait. */
  readonly goOn: readonly ('x' | 'y')[]
  readonly calls?: number
}

const both = ['x', 'y'] as const

const partitions: readonly Partition[] = [
  { what: 'a mirror is cut off', goOn: both, happens: ({ mirror }) => lab.isolate(mirror) },
  { what: 'the primary is cut off', goOn: both, happens: ({ primary }) => lab.isolate(primary) },
  {
    what: 'the primary is cut off from the others, and clients reach both sides',
    goOn: both,
    happens: ({ primary }) => lab.isolate(primary, { but: both }),
  },
  {
    what: 'a client and a mirror are cut off together',
    goOn: ['y'],
    calls: fewCalls,
    happens: async ({ mirror }) => {
      await lab.isolate(mirror, { but: ['x'] })
      await lab.isolate('x', { but: [mirror] })
    },
  },
  {
    what: 'a client and the primary are cut off together',
    goOn: ['y'],
    calls: fewCalls,
    happens: async ({ primary }) => {
      await lab.isolate(primary, { but: ['x'] })
      await lab.isolate('x', { but: [primary] })
    },
  },
  {
    what: 'nothing that the primary sends arrives at a mirror',
    goOn: both,
    happens: ({ mirror, primary }) => lab.cut(primary, mirror, { oneWay: true }),
  },
  {
    what: 'nothing that a mirror sends arrives at the primary',
    goOn: both,
    happens: ({ mirror, primary }) => lab.cut(mirror, primary, { oneWay: true }),
  },
  {
    what: 'nothing that a client sends arrives at the primary',
    goOn: both,
    happens: ({ primary }) => lab.cut('x', primary, { oneWay: true }),
  },
  {
    what: 'a fifth of all packets is lost',
    goOn: both,
    calls: someCalls,
    happens: async () => {
      const end = performance.now() + badMs
      for (const [index, from] of lab.hosts.entries()) {
        for (const to of lab.hosts.slice(index + 1)) await lab.lose(from.name, to.name, 20)
      }
      await moment(end)
    },
  },
  {
    what: 'the primary is cut off and back every two seconds',
    goOn: both,
    happens: async ({ primary }) => {
      const end = performance.now() + badMs
      for (let next = performance.now(), cut = true; next < end; next += flapMs, cut = !cut) {
        await moment(next)
        await (cut ? lab.isolate(primary) : lab.heal())
      }
      await lab.heal()
    },
  },
]

const directories = both.map((client) => join(lab.tree(client), 'registers'))
const syncing = directories.slice(0, 1) // x is cut off alone
/** Through all of it, as nobody's history begins anew after a failure. */
const run = { folder: hosts.folder, directories, syncing, processesEach, seed, paceMs: 8 }
const registers = await RunningRegisters.start(run)

for (const { calls = manyCalls, goOn, happens, what } of partitions) {
  void t.test(what, async (t) => {
    t.teardown(() => lab.heal()) // also after a failure: the next one begins with a good network
    const { primary, mirror } = await hosts.roles('x')
    await registers.progress(30)

    const began = performance.now()
    await happens({ primary, mirror })
    for (const client of goOn) await registers.progress(calls, 60_000, directories[both.indexOf(client)])
    t.comment(`went on for ${calls} calls each, ${(performance.now() - began).toFixed(0)} ms after it began`)
    await lab.heal()
    const healed = performance.now()
    await lab.inSync()
    const tookMs = performance.now() - healed
    t.ok(tookMs <= inSyncMaxMs, `all was in sync ${tookMs.toFixed(0)} ms after its end`)
    await registers.progress(30)
  })
}

void t.test('an order explains all that the clients saw meanwhile, and the members are equal', async (t) => {
  const record = await registers.stop()
  t.same(violations(record.calls), [], `an order explains ${record.calls.length} calls`)
  t.same(record.errors, [], 'no call failed')
  await hosts.verifyEqual('y')
})

async function comesBackFirst(t: Test): Promise<void> {
  t.teardown(() => lab.heal())
  const mirror = await hosts.mirror('y')
  await lab.isolate(mirror, { but: ['x'] })
  await lab.isolate('x', { but: [mirror] })
  const write = () => lab.exec('x', ['sh', '-c', 'echo 1 >> tree/cut-off'], { limitMs: 120_000 })
  const refused = async () => (await write()).stderr.includes('Read-only') || undefined
  await waitFor(refused, { what: 'its side to say that it is cut off', limitMs: 120_000, everyMs: 500 })
  for (const { name } of lab.hosts) if (name !== mirror && name !== 'x') await lab.lose('x', name, 0)
  const began = performance.now()
  const written = async () => (await write()).code === 0 || undefined
  await waitFor(written, { what: 'a write that is made', limitMs: 30_000 })
  const tookMs = performance.now() - began
  t.ok(tookMs < leavesMaxMs, `it writes again after ${tookMs.toFixed(0)} ms`)
  await lab.heal()
  await hosts.verifyEqual('y')
}

// A side says that it is cut off after half a minute, so this stands in the long form only.
if (badMs >= 60_000) void t.test('a client that was cut off with a mirror is back before it', comesBackFirst)

/** Until a moment of the test's plan. */
async function moment(at: number): Promise<void> {
  await waitFor(() => performance.now() >= at || undefined, { what: 'the next moment', limitMs: badMs + 60_000 })
}
