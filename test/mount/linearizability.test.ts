import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { Cluster } from '../fixtures/cluster.ts'
import { violations } from '../fixtures/register-history.ts'
import { registers } from '../fixtures/register-models.ts'
import { RunningRegisters } from '../fixtures/running-registers.ts'
import { expect, waitFor } from '../fixtures/wait.ts'

// Eight processes on two mounts change and look at the same contents, names and attributes; an order of all calls explains
// what each of them saw, also while mirrors die and come back.

t.setTimeout(300_000)
/** For how long the processes run, and when in it each mirror dies. */
const runMs = Number(process.env['BANYAN_LINEARIZABILITY_MS'] ?? 60_000)
const deathsAt = [0.2, 0.6]
const seed = Number(process.env['BANYAN_SEED'] ?? Date.now() % 2 ** 31)
const processesEach = 4

void t.test(
  'the histories of eight processes on two mounts are linearizable while mirrors die and return',
  async (t) => {
    const cluster = await Cluster.start(t)
    const other = await cluster.mount('other')
    t.comment(`BANYAN_SEED=${seed}`)
    const began = performance.now()
    const directories = [cluster.tree, other].map((mount) => join(mount, 'registers'))
    const run = await RunningRegisters.start({ folder: cluster.folder, directories, processesEach, seed, paceMs: 8 })
    const mirrors = await cluster.others()
    for (const [index, share] of deathsAt.entries()) {
      await until(began + share * runMs)
      const victim = expect(mirrors[index], 'a mirror is missing')
      cluster.signal(await cluster.pidOf(victim), 'SIGKILL')
      await cluster.waitForState(victim, 'down')
      await run.progress(100)
      await cluster.startServer(victim)
      t.comment(`${victim} died and was in sync again ${(await cluster.resynced()).toFixed(0)} ms after its start`)
      await run.progress(100)
    }
    await until(began + runMs)
    const { calls, errors } = await run.stop()
    const lasted = (performance.now() - began) / 1000
    const checked = performance.now()
    t.same(violations(calls), [], `an order explains ${calls.length} calls in ${lasted.toFixed(0)} s`)
    t.comment(`${calls.length} calls, checked in ${(performance.now() - checked).toFixed(0)} ms`)
    t.same(errors, [], 'no call failed')
    await cluster.verifyEqual()
  },
)

/** Until a moment of the run. */
async function until(moment: number): Promise<void> {
  const what = 'the moment that the run’s plan names'
  await waitFor(() => performance.now() >= moment || undefined, { what, limitMs: runMs + 60_000 })
}

void t.test('the same processes on a local file system have no fault, and on two that differ they have', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'banyan-test-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const histories = async (directories: string[]) => {
    for (const directory of directories) mkdirSync(directory, { recursive: true })
    const run = await RunningRegisters.start({ folder, directories, processesEach, seed, paceMs: 2 })
    await run.progress(200)
    return await run.stop()
  }
  const one = await histories([join(folder, 'one'), join(folder, 'one')])
  t.same([violations(one.calls), one.errors], [[], []], `an order explains ${one.calls.length} calls`)
  // As if two mounts never heard of each other's changes.
  const two = await histories([join(folder, 'two'), join(folder, 'three')])
  const faulty = violations(two.calls).map((words) => words.slice(0, words.indexOf(':')))
  t.same(faulty, Object.keys(registers), 'no order explains any register')
})
