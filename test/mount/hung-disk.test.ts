import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { Cluster } from '../fixtures/cluster.ts'
import { HangingDisk } from '../fixtures/hanging-disk.ts'
import { assertStall, loadFaults, now, RunningLoad, reportStall } from '../fixtures/running-load.ts'

// The disk of a server hangs: the server answers nothing, and cannot even be killed. To all others it is one that stands still.

t.setTimeout(300_000)

const one = 's2'
let made: HangingDisk | undefined
const cluster = await Cluster.start(t, {
  prepare: async (state) => {
    mkdirSync(state, { recursive: true })
    made = HangingDisk.make(state, one)
  },
})
const disk = made
t.teardown(async () => await disk?.goOn())

const drain = (...args: readonly string[]): Promise<unknown> =>
  cluster.mustBanyan(['node', 'drain', ...args], { limitMs: 60_000 })

/** Whether the one has to lead, or somebody else. */
async function lead(wanted: boolean): Promise<void> {
  const drained: string[] = []
  for (let at = await cluster.primary(); (at === one) !== wanted; at = await cluster.primary()) {
    await drain(at)
    drained.push(at)
  }
  for (const name of drained) await drain(name, '--end')
}

for (const role of ['mirror', 'primary'] as const) {
  void t.test(`the disk of the ${role} hangs: clients go on, and it comes back when the disk does`, async (t) => {
    await lead(role === 'primary')
    const directory = join(cluster.tree, role)
    const load = await RunningLoad.start(cluster.folder, [{ id: role, directory }])
    await load.progress(300)
    const began = now()
    await disk?.hang()
    await load.progress(600)
    t.not((await cluster.member(one)).state, 'in-sync', `${one} has lost its place`)
    await disk?.goOn()
    await load.progress(100)
    t.comment(`in sync ${(await cluster.inSync()).toFixed(0)} ms after its disk went on`)
    const records = await load.stop()
    assertStall(t, reportStall(t, `disk of the ${role} hangs`, records, began), 5000)
    t.same(await loadFaults(directory, records), [], 'no error, nothing lost, nothing twice')
    await cluster.verifyEqual()
  })
}
