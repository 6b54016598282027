import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { TestLab } from '../fixtures/lab-of.ts'
import { violations } from '../fixtures/register-history.ts'
import { mustRun } from '../fixtures/run.ts'
import { RunningRegisters } from '../fixtures/running-registers.ts'
import { expect, waitFor } from '../fixtures/wait.ts'

// Hosts' clocks are wrong by an hour: the wall clock of one server is set while it leads, that of one client is behind from the
// beginning, and another server counts its time from an hour earlier. Leases and failovers go by nobody's wall clock, and by
// each host's own monotonic one; only the times of files are of the clock of the host that leads.

t.setTimeout(400_000)
const seed = Number(process.env['BANYAN_SEED'] ?? Date.now() % 2 ** 31)
const hour = 3600
/** Longer than a failover takes, on a busy machine too, and far shorter than an hour. */
const longestMs = 15_000
const nearSeconds = 60
const failovers = 2

const folder = mkdtempSync(join(tmpdir(), 'banyan-clock-'))
const before = new Set(sharedByFaketime())
t.teardown(() => {
  rmSync(folder, { recursive: true })
  for (const file of sharedByFaketime()) if (!before.has(file) && isLeft(file)) rmSync(file, { force: true })
})
const clock = join(folder, 'clock')
const library = expect(
  ['x86_64', 'aarch64']
    .map((machine) => `/usr/lib/${machine}-linux-gnu/faketime/libfaketimeMT.so.1`)
    .find((file) => existsSync(file)),
  'libfaketime is missing: "npm test" installs it',
)
const faked = ['env', `LD_PRELOAD=${library}`, 'FAKETIME_DONT_FAKE_MONOTONIC=1']
const under: Readonly<Record<string, readonly string[]>> = {
  a: [...faked, `FAKETIME_TIMESTAMP_FILE=${clock}`, 'FAKETIME_CACHE_DURATION=1'],
  b: ['unshare', '--time', '--fork', '--monotonic', String(hour), '--boottime', String(hour)],
  x: [...faked, `FAKETIME=-${hour}`],
}
writeFileSync(clock, '+0')
const hosts = await TestLab.start(t, { servers: 3, clients: 2, serversMount: false, under })
const { lab } = hosts
t.comment(`BANYAN_SEED=${seed}`)

let aheadSeconds = 0
let files = 0

/** The time of a file that is made now is that of the clock of the host that leads. */
async function timeIsOf(leader: string): Promise<true> {
  const ahead = leader === 'a' ? aheadSeconds : 0
  return await waitFor(
    async () => {
      files += 1
      const file = join(lab.tree('x'), `made-${files}`)
      await mustRun('sh', ['-c', 'echo 1 > "$0"', file])
      const { stdout } = await mustRun('stat', ['-c', '%Y', join(lab.tree('y'), `made-${files}`)])
      const off = Number(stdout) - Date.now() / 1000 - ahead
      return expect(Math.abs(off) < nearSeconds, `a file made under ${leader} has a time that is ${off} s off`)
    },
    { what: `files to have the time of ${leader}`, limitMs: 30_000, everyMs: 300 },
  )
}

void t.test('clocks that are wrong, or set, change nothing but the times of files', async (t) => {
  for (const name of ['b', 'c']) await lab.mustBanyan('x', ['node', 'drain', name])
  for (const name of ['b', 'c']) await lab.mustBanyan('x', ['node', 'drain', name, '--end'])
  t.equal(await hosts.primary('x'), 'a')
  const directories = ['x', 'y'].map((client) => join(lab.tree(client), 'registers'))
  const run = { folder: hosts.folder, directories, processesEach: 2, seed, paceMs: 8 }
  const registers = await RunningRegisters.start(run)
  await registers.progress(50)
  await timeIsOf('a')

  for (const ahead of [hour, -hour]) {
    writeFileSync(clock, `${ahead > 0 ? '+' : ''}${ahead}`)
    aheadSeconds = ahead
    await timeIsOf('a')
    await registers.progress(100)
    t.equal(await hosts.primary('y'), 'a', `its clock was set to ${ahead} s off, and it leads on`)
  }
  for (let failover = 1; failover <= failovers; failover += 1) {
    const primary = await hosts.primary('x')
    await lab.kill(primary)
    const next = await hosts.anotherPrimary('x', primary)
    await registers.progress(50)
    await timeIsOf(next)
    await lab.start(primary, under[primary])
    await lab.inSync()
    await registers.progress(50)
  }
  const record = await registers.stop()
  const longest = Math.max(...record.calls.map(({ invoked, returned = invoked }) => (returned - invoked) / 1e6))
  t.ok(longest < longestMs, `the longest call took ${longest.toFixed(0)} ms`)
  t.same(violations(record.calls), [], `an order explains ${record.calls.length} calls`)
  t.same(record.errors, [], 'no call failed')
  await hosts.verifyEqual('y')
})

/** What libfaketime keeps for a process and those it starts, and leaves when that is killed. */
function sharedByFaketime(): string[] {
  const shared = '/dev/shm'
  return readdirSync(shared)
    .filter((name) => /faketime_(shm|sem)_\d+$/.test(name))
    .map((name) => join(shared, name))
}

function isLeft(file: string): boolean {
  return !existsSync(`/proc/${/\d+$/.exec(file)?.[0]}`)
}
