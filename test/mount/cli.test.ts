import { join } from 'node:path'
import t from 'tap'
import { Cluster } from '../fixtures/cluster.ts'
import { mustRun } from '../fixtures/run.ts'

// What the commands say, and that nothing is forgotten between two runs of `banyan up`.

t.setTimeout(300_000)

const cluster = await Cluster.start(t)
await mustRun('sh', ['-c', 'mkdir "$0/kept" && echo contents > "$0/kept/file"', cluster.tree])

void t.test('status --json says what is promised', async (t) => {
  const status = await cluster.status() // parsed by its promised shape
  const [volume] = status.volumes
  t.equal(status.volumes.length, 1, 'one volume')
  t.same(volume?.members.map((member) => member.name).sort(), ['s1', 's2', 's3'], 'its members')
  t.ok(
    volume?.members.every((member) => member.pid !== null && member.address !== null && member.resync === null),
    'members have a process and an address',
  )
  t.ok(
    volume?.members.every((member) => member.behindEntries === 0 && member.behindBytes === 0),
    'nobody is behind',
  )
  t.ok((volume?.epoch ?? 0) > 0, 'an epoch has begun')
  t.equal(status.mounts.length, 1, 'one mount')
  t.equal(status.mounts[0]?.path, cluster.tree, 'and where it is')
})

void t.test('status for people fits 100 columns and names every member', async (t) => {
  const { stdout } = await cluster.mustBanyan(['status'])
  for (const line of stdout.trimEnd().split('\n')) t.comment(line)
  t.ok(
    stdout.split('\n').every((line) => Array.from(line).length <= 100),
    'no line is longer than 100 columns',
  )
  for (const name of ['s1', 's2', 's3', cluster.tree]) t.match(stdout, name, name)
})

void t.test('status puts a member that is down first, and up notices that it was stopped', async (t) => {
  const [stopped = ''] = await cluster.others()
  await cluster.stopServer(stopped)
  await cluster.waitForState(stopped, 'down')
  const lines = (await cluster.mustBanyan(['status'])).stdout.split('\n')
  for (const line of lines) t.comment(line)
  const lineOf = (name: string) => lines.findIndex((line) => new RegExp(`\\b${name}\\b.*(down|in-sync)`).test(line))
  const others = ['s1', 's2', 's3'].filter((name) => name !== stopped)
  t.ok(
    others.every((name) => lineOf(stopped) < lineOf(name)),
    'what needs attention stands first',
  )
  await cluster.startServer(stopped)
  await cluster.inSync()
})

void t.test('an error is one line on stderr and a failure', async (t) => {
  const wrong = await cluster.banyan(['server', 'start', 'nobody'])
  t.not(wrong.code, 0, 'it fails')
  t.equal(wrong.stdout, '', 'nothing on stdout')
  t.equal(wrong.stderr.trimEnd().split('\n').length, 1, wrong.stderr)
})

void t.test('up itself is killed: the tree goes on, and the next up takes everything over', async (t) => {
  const before = (await cluster.volume()).members.map((member) => member.pid)
  await cluster.killUp()
  await mustRun('sh', ['-c', 'echo more > "$0/kept/written-meanwhile"', cluster.tree])
  await cluster.up()
  const after = (await cluster.volume()).members.map((member) => member.pid)
  t.same(after, before, 'the servers are the same processes')
  t.equal((await mustRun('cat', [join(cluster.tree, 'kept/written-meanwhile')])).stdout, 'more\n')
  t.equal((await cluster.status()).mounts.length, 1, 'the mount is known again')
})

void t.test('a second up finds everything again', async (t) => {
  t.equal(await cluster.down(), 0, 'the first ends cleanly')
  t.notOk(cluster.isMounted(cluster.tree), 'and has unmounted')
  await cluster.up()
  t.equal((await mustRun('cat', [join(cluster.tree, 'kept/file')])).stdout, 'contents\n')
  await cluster.verifyEqual()
})
