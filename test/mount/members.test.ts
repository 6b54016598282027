import { join } from 'node:path'
import t from 'tap'
import { Cluster } from '../fixtures/cluster.ts'
import { loadFaults, RunningLoad } from '../fixtures/running-load.ts'
import { expect, waitFor } from '../fixtures/wait.ts'

// Who mirrors a volume is changed by hand while clients work. Nothing of it is an error for them.

t.setTimeout(300_000)

const cluster = await Cluster.start(t)
const directory = join(cluster.tree, 'work')

interface Listed {
  readonly primary: string | null
  readonly members: readonly string[]
  readonly inSync: readonly string[]
  readonly drained: readonly string[]
  readonly minInSync: number
  readonly onPartition: string
}

async function listed(): Promise<Listed> {
  const { stdout } = await cluster.mustBanyan(['volume', 'list', '--json'], { limitMs: 20_000 })
  const [volume] = JSON.parse(stdout) as Listed[]
  return expect(volume, 'no volume is listed')
}

void t.test('every server is restarted, one after the other, and nobody notices', async (t) => {
  const rolled = join(cluster.tree, 'rolled')
  const load = await RunningLoad.start(cluster.folder, [{ id: 'b', directory: rolled }])
  await load.progress(100)
  for (const name of ['s1', 's2', 's3']) {
    await cluster.mustBanyan(['node', 'drain', name], { limitMs: 60_000 })
    t.not((await listed()).primary, name, `${name} leads nothing when it is stopped`)
    await cluster.stopServer(name)
    await load.progress(20)
    await cluster.startServer(name)
    await cluster.mustBanyan(['node', 'drain', name, '--end'], { limitMs: 60_000 })
    await cluster.inSync()
    await load.progress(20)
  }
  t.same((await listed()).drained, [])
  t.same(await loadFaults(rolled, await load.stop()), [])
})

void t.test('a mirror is added, the primary drained and taken out, all under load', async (t) => {
  const load = await RunningLoad.start(cluster.folder, [{ id: 'a', directory }])
  await load.progress(100)

  await cluster.mustBanyan(['volume', 'add-mirror', 'main', 's4'])
  await waitFor(async () => (await listed()).inSync.includes('s4') || undefined, {
    what: 's4 to be filled and in sync',
    limitMs: 90_000,
  })
  await load.progress(50)

  const former = await cluster.primary()
  await cluster.mustBanyan(['node', 'drain', former], { limitMs: 60_000 })
  const { drained, inSync, primary } = await listed()
  t.not(primary, former, 'somebody else leads')
  t.same(drained, [former])
  t.match((await cluster.mustBanyan(['status'])).stdout, new RegExp(`^! ${former} is drained`, 'm'))
  t.ok(inSync.includes(former), 'it is a mirror still, and in sync')
  await load.progress(50)

  await cluster.mustBanyan(['volume', 'remove-mirror', 'main', former], { limitMs: 60_000 })
  const { drained: none, members } = await listed()
  t.notOk(members.includes(former))
  t.same(none, [])
  await load.progress(50)

  t.same(await loadFaults(directory, await load.stop()), [])
  await cluster.verifyEqual()
})

void t.test('what a volume wants can be changed, and nonsense is refused with a reason', async (t) => {
  await cluster.mustBanyan(['volume', 'set', 'main', 'min-in-sync=2', 'on-partition=stop'])
  t.match(await listed(), { minInSync: 2, onPartition: 'stop' })
  const refused = async (...args: string[]): Promise<string> => {
    const { code, stderr } = await cluster.banyan(args, { limitMs: 20_000 })
    t.not(code, 0, args.join(' '))
    t.equal(stderr.trim().split('\n').length, 1, stderr)
    return stderr
  }
  t.match(await refused('volume', 'set', 'main', 'min-in-sync=9'), /more than its 3 mirrors/)
  t.match(await refused('volume', 'set', 'main', 'colour=red'), /no setting of a volume/)
  t.match(await refused('volume', 'set', 'other', 'min-in-sync=1'), /there is no volume other.*Name one of main/)
  t.match(await refused('volume', 'add-mirror', 'main', 's4'), /already/)
  t.match(await refused('node', 'drain', 's9'), /no mirror of any volume/)
})
