import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { TestLab } from '../fixtures/lab-of.ts'
import { logFaults, OnceLoad } from '../fixtures/once-load.ts'
import { mustRun } from '../fixtures/run.ts'

// Ten primaries in a row are lost with their host's power or die, while two hosts change one directory: each change has its
// effect once and its true result.

t.setTimeout(800_000)
const failovers = 10

void t.test('changes under way through ten failovers in a row are made once', async (t) => {
  const hosts = await TestLab.start(t, { servers: 3, clients: 2, serversMount: false })
  const { lab } = hosts
  const clients = ['x', 'y'] as const
  const place = (client: 'x' | 'y'): string => join(lab.tree(client), 'once')
  await mustRun('mkdir', [place('x')])
  const loads = clients.map((client) => new OnceLoad(place(client), client))
  const progress = (): Promise<unknown> => Promise.all(loads.map((load) => load.progress(40)))
  await progress()
  let next = await hosts.primary('x')
  for (let failover = 1; failover <= failovers; failover += 1) {
    const primary = next
    const power = failover % 2 === 0
    if (power) await lab.kill(primary)
    else process.kill(hosts.serverPid(primary), 'SIGKILL')
    next = await hosts.anotherPrimary('x', primary)
    await progress()
    if (power) await lab.start(primary)
    await lab.inSync()
  }
  const results = await Promise.all(loads.map((load) => load.stop()))
  t.comment(results.map(({ done, id }) => `${id}: ${done} changes`).join(', '))
  t.same(
    results.flatMap(({ wrong }) => wrong),
    [],
    'every change succeeded, and once',
  )
  const { stdout: log } = await mustRun('cat', [join(place('y'), 'log')])
  t.same(logFaults(log, results), [], 'every line is there, once')
  const { stdout: names } = await mustRun('ls', ['-A', place('x')])
  t.equal(names, 'log\n', 'what was removed is gone')
  await hosts.verifyEqual('y')
})

void t.test('the same on a plain folder: the load itself is right, and a change made twice is noticed', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'banyan-test-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const load = new OnceLoad(folder, 'p')
  await load.progress(500)
  const result = await load.stop()
  t.same(result.wrong, [])
  const log = readFileSync(join(folder, 'log'), 'utf8')
  t.same(logFaults(log, [result]), [])
  t.same(logFaults(`${log}p ${result.appended}\n`, [result]).length, 2, 'the last line twice')
  t.match(logFaults(log.slice(log.indexOf('\n') + 1), [result])[0], 'line 1 is 2')
})
