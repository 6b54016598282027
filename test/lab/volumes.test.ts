import { join } from 'node:path'
import t from 'tap'
import { TestLab } from '../fixtures/lab-of.ts'
import { mustRun } from '../fixtures/run.ts'
import { assertStall, loadFaults, now, RunningLoad, reportStall } from '../fixtures/running-load.ts'
import { volumeInPlace } from '../fixtures/volume-in-place.ts'
import { expect } from '../fixtures/wait.ts'

// A second volume between hosts, made while all of them run: some mirror it, and all have it in its place. Then the host that
// leads it loses power, and comes back. Then each host is restarted, as for an upgrade.

t.setTimeout(400_000)
const limitMs = 60_000
const powerMaxMs = 5000
const hosts = await TestLab.start(t, { servers: 3, clients: 1 })
const { lab } = hosts
const work = (host: string): string => join(lab.tree(host), 'projects')
const shell = async (script: string, ...args: string[]): Promise<string> =>
  (await mustRun('sh', ['-ec', script, 'sh', ...args], { limitMs })).stdout.trim()

const primary = async (): Promise<string> => {
  const { volumes } = await hosts.status('x')
  return expect(volumes.find(({ name }) => name === 'work')?.primary ?? undefined, 'the volume has no primary')
}

void t.test('a volume that is made on one host is in its place on all', async (t) => {
  const created = await lab.mustBanyan('x', ['volume', 'create', 'work', '--mirrors', 'b,c', '--at', '/projects'], {
    limitMs,
  })
  t.match(created.stdout, /^Volume work is at \/projects in every mount, mirrored by b, c\.$/m)
  await Promise.all([...lab.servers, 'x'].map((host) => volumeInPlace(work(host))))
  await shell('echo hello > "$1/file"', work('x'))
  for (const host of lab.servers) t.equal(await shell('cat "$1/file"', work(host)), 'hello', host)
})

void t.test('the host that leads it loses power, and nobody else sees it', async (t) => {
  const load = await RunningLoad.start(hosts.folder, [
    { id: 'a', directory: join(work('a'), 'load') },
    { id: 'x', directory: join(work('x'), 'load') },
  ])
  await load.progress(200)
  const victim = await primary()
  t.match(victim, /^[bc]$/)
  const lost = now()
  await lab.kill(victim)
  await load.progress(200)
  t.not(await primary(), victim)
  await lab.start(victim)
  await lab.inSync()
  await volumeInPlace(work(victim))
  t.equal(await shell('cat "$1/file"', work(victim)), 'hello', 'on the host that came back as well')
  await load.progress(100)
  const records = await load.stop()
  assertStall(t, reportStall(t, `loss of power of ${victim}, which led the volume`, records, lost), powerMaxMs)
  for (const host of ['a', victim]) t.same(await loadFaults(join(work(host), 'load'), records), [], host)
  const verified = await lab.mustBanyan('x', ['verify'], { limitMs: 180_000 })
  t.match(verified.stdout, /^volume main:\n.*are equal.*\nvolume work:\n.*are equal/m)
})

void t.test(
  'every host that serves is restarted, one after the other, and the one that does not sees no error',
  async (t) => {
    const directories = [join(work('x'), 'rolled'), join(lab.tree('x'), 'rolled')]
    const load = await RunningLoad.start(
      hosts.folder,
      directories.map((directory, index) => ({ id: `r${index}`, directory })),
    )
    await load.progress(100)
    const began = now()
    for (const host of lab.servers) {
      await lab.mustBanyan('x', ['node', 'drain', host], { limitMs })
      const { volumes } = await hosts.status('x')
      for (const { name, primary } of volumes) t.not(primary, host, `${host} does not lead ${name} when it is stopped`)
      await lab.stop(host)
      await load.progress(50)
      await lab.start(host)
      await lab.mustBanyan('x', ['node', 'drain', host, '--end'], { limitMs })
      await lab.inSync()
      await load.progress(50)
    }
    const records = await load.stop()
    reportStall(t, 'restart of three hosts, drained first', records, began)
    for (const [index, directory] of directories.entries()) {
      const its = records.filter(({ id }) => id === `r${index}`)
      t.same(await loadFaults(directory, its), [], directory)
    }
    await hosts.verifyEqual('x')
  },
)
