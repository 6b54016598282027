import { spawn } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { Cluster } from '../fixtures/cluster.ts'
import { checkout } from '../fixtures/program.ts'
import { mustRun } from '../fixtures/run.ts'
import { processesNaming } from '../fixtures/sweep.ts'
import { waitFor } from '../fixtures/wait.ts'

// What `banyan up` does with what it finds, and how it ends.

t.setTimeout(120_000)

const cluster = await Cluster.start(t, { mirrors: 2 })
const other = join(cluster.folder, 'other')
mkdirSync(other)

void t.test('what cannot be started is said in one line, and nothing is changed', async (t) => {
  const second = await cluster.banyan(['up', '--mount', other])
  t.equal(second.code, 1)
  t.match(second.stderr, /^banyan: "banyan up" runs already [^\n]*banyan status[^\n]*\n$/)
  t.notOk(cluster.isMounted(other))
  const running = await cluster.banyan(['server', 'start', 's1'])
  t.match(running.stderr, /^banyan: s1 runs already [^\n]*\n$/)
  const pinned = await cluster.banyan(['mount', other, '--provider', 'nobody'])
  t.match(pinned.stderr, /^banyan: there is no server nobody[^\n]*s1, s2[^\n]*\n$/)
  t.equal(pinned.code, 1)
})

void t.test('a member that does not run cannot be resynced: that is said at once', async (t) => {
  await cluster.stopServer('s2')
  const { code, stderr } = await cluster.banyan(['resync'])
  t.equal(code, 1)
  t.match(stderr, /^banyan: s2 does not run[^\n]*banyan server start s2[^\n]*\n$/)
  await cluster.startServer('s2')
  t.equal((await cluster.mustBanyan(['resync'])).code, 0, 'waits until all are in sync')
  await cluster.inSync()
})

void t.test('a mount that somebody unmounts is gone, and the servers stay', async (t) => {
  await mustRun('umount', [cluster.tree])
  await waitFor(async () => (await cluster.status()).mounts.length === 0 || undefined, {
    what: 'status to know it',
    limitMs: 10_000,
  })
  t.equal((await cluster.volume()).members.filter((member) => member.state === 'in-sync').length, 2)
  t.equal(await cluster.down(), 0)
  t.same(processesNaming(cluster.state), [], 'no process is left')
})

void t.test('a second start with another number of mirrors is refused', async (t) => {
  const { code, stderr } = await cluster.banyan(['up', '--mirrors', '3', '--mount', other])
  t.equal(code, 1)
  t.match(stderr, /^banyan: the volume in [^\n]* has 2 mirrors, not 3[^\n]*\n$/)
  t.same(processesNaming(cluster.state), [])
})

void t.test('a mount point that is not empty is refused, and nothing is left running', async (t) => {
  writeFileSync(join(other, 'file'), '')
  const { code, stderr } = await cluster.banyan(['up', '--mount', other])
  t.equal(code, 1)
  t.match(stderr, /^banyan: [^\n]* is not empty[^\n]*\n$/)
  t.same(processesNaming(cluster.state), [])
})

void t.test('--detach returns when all is there; down ends it', async (t) => {
  const up = await cluster.mustBanyan(['up', '--detach', '--mount', cluster.tree], { limitMs: 60_000 })
  t.match(up.stdout, /2 mirrored file servers/)
  t.match(up.stdout, new RegExp(`Mounted at ${cluster.tree}`))
  t.ok(cluster.isMounted(cluster.tree))
  await mustRun('sh', ['-c', 'echo x > "$0/x" && rm "$0/x"', cluster.tree])
  const down = await cluster.mustBanyan(['down'], { limitMs: 60_000 })
  t.equal(down.stdout, 'Unmounted, and all servers are stopped.\n')
  await waitFor(() => processesNaming(cluster.state).length === 0 || undefined, {
    what: 'every process to end',
    limitMs: 10_000,
  })
  t.notOk(cluster.isMounted(cluster.tree))
})

void t.test('--restart starts a server again that dies; a dead mount is cleared away; Ctrl-C ends all', async (t) => {
  await cluster.mustBanyan(['up', '--detach', '--mount', cluster.tree], { limitMs: 60_000 })
  for (const pid of processesNaming(cluster.state)) cluster.signal(pid, 'SIGKILL')
  t.ok(cluster.isMounted(cluster.tree), 'a mount without a process')

  const args = [
    join(checkout, 'build/cli/banyan.js'),
    'up',
    '--restart',
    '--mount',
    cluster.tree,
    '--state',
    cluster.state,
  ]
  const up = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  t.teardown(() => up.kill('SIGKILL'))
  let said = ''
  up.stdout.setEncoding('utf8').on('data', (text: string) => {
    said += text
  })
  await waitFor(() => said.includes('Ctrl-C') || undefined, { what: 'up to be ready', limitMs: 60_000 })
  await mustRun('sh', ['-c', 'echo x > "$0/x" && rm "$0/x"', cluster.tree])

  const before = await cluster.pidOf('s2')
  cluster.signal(before, 'SIGKILL')
  await waitFor(
    async () => {
      const { pid } = await cluster.member('s2')
      return (pid !== null && pid !== before) || undefined
    },
    { what: 's2 to be started again', limitMs: 30_000 },
  )
  await cluster.inSync()

  up.kill('SIGINT')
  await waitFor(() => up.exitCode !== null || undefined, { what: 'up to end', limitMs: 30_000 })
  t.equal(up.exitCode, 0)
  t.notOk(cluster.isMounted(cluster.tree))
  t.same(processesNaming(cluster.state), [], 'no process is left')
})
