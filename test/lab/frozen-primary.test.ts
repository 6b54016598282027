import { join } from 'node:path'
import t from 'tap'
import { processesIn } from '../../scripts/network-lab/namespaces.ts'
import { TestLab } from '../fixtures/lab-of.ts'
import { violations } from '../fixtures/register-history.ts'
import { RunningRegisters } from '../fixtures/running-registers.ts'
import { waitFor } from '../fixtures/wait.ts'

// The primary stands still for ten seconds, its process alone or all of its host, and goes on as if nothing had been. Others
// have led and changed things meanwhile: it must notice before it answers anything, also to a client that asks nobody else.

t.setTimeout(600_000)
const frozenMs = 10_000
const seed = Number(process.env['BANYAN_SEED'] ?? Date.now() % 2 ** 31)

const hosts = await TestLab.start(t, { servers: 3, clients: 2, serversMount: false })
const { lab } = hosts
t.comment(`BANYAN_SEED=${seed}`)

for (const [index, whole] of [false, true].entries()) {
  void t.test(whole ? 'the whole host of the primary stands still' : 'the primary stands still', async (t) => {
    const primary = await hosts.primary('x')
    const pinned = await hosts.mount('x', `pinned-${index}`, { provider: primary })
    const mounts = [lab.tree('x'), lab.tree('y'), pinned]
    const directories = mounts.map((mount) => join(mount, `registers-${index}`))
    const syncing = directories.slice(2) // nobody but the primary has what it holds back
    const run = { folder: hosts.folder, directories, syncing, processesEach: 2, seed: seed + index, paceMs: 8 }
    const registers = await RunningRegisters.start(run)
    await registers.progress(50)

    const pids = whole ? processesIn(lab.folder, primary) : [hosts.serverPid(primary)]
    const frozen = performance.now()
    for (const pid of pids) process.kill(pid, 'SIGSTOP')
    for (const directory of directories.slice(0, 2)) await registers.progress(100, 60_000, directory)
    t.comment(`the others went on for 100 calls each, ${(performance.now() - frozen).toFixed(0)} ms after it began`)
    t.not(await hosts.primary('y'), primary, 'another host is primary')
    const what = 'the end of its standing still'
    await waitFor(() => performance.now() > frozen + frozenMs || undefined, { what, limitMs: 2 * frozenMs })
    for (const pid of pids) process.kill(pid, 'SIGCONT')
    await registers.progress(50)
    await lab.inSync()
    const record = await registers.stop()

    t.same(violations(record.calls), [], `an order explains ${record.calls.length} calls`)
    t.same(record.errors, [], 'no call failed')
  })
}

void t.test('the members are equal', () => hosts.verifyEqual('y'))
