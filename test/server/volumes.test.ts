import { writeFileSync } from 'node:fs'
import path from 'node:path'
import { status } from '@grpc/grpc-js'
import t, { type Test } from 'tap'
import { nodeId } from '../../proto/ids.ts'
import { newRecord } from '../../replication/record.ts'
import { waitFor } from '../fixtures/wait.ts'
import { Cluster } from './cluster.ts'
import { Files } from './files.ts'
import { statusOf } from './status-of.ts'

const [s1, s2, s3] = [nodeId('s1'), nodeId('s2'), nodeId('s3')] as const

async function cluster(t: Test, names: readonly string[]): Promise<Cluster> {
  const started = await Cluster.start(names)
  t.teardown(() => started.close())
  return started
}

/** Until it has led at least once, and so many are in sync. */
async function served(cluster: Cluster, volume: string, inSync: number): Promise<void> {
  const isServed = async (): Promise<true | undefined> => {
    const record = (await cluster.directory.readRecord(volume))?.record
    return (record?.primary !== undefined && record.inSync.length === inSync) || undefined
  }
  await waitFor(isServed, { what: `${inSync} members of ${volume} in sync`, limitMs: 20_000, everyMs: 20 })
}

void t.test('a volume that is made while servers run is served by those it names, beside the first', async (t) => {
  const all = await cluster(t, ['s1', 's2', 's3'])
  const main = new Files(all.router())
  await main.create('of main')
  await all.directory.createRecord('work', newRecord([s1, s2]))
  const work = new Files(all.router({ volume: 'work' }))
  const ino = await work.create('of work')
  await work.write(ino, Buffer.from('kept'))
  await served(all, 'work', 2)
  t.same([await main.names(), await work.names()], [['of main'], ['of work']])
  t.match(await statusOf(all.address('s1'), 'work'), { volume: 'work', members: [{ name: 's1' }, { name: 's2' }] })
  t.equal((await statusOf(all.address('s3'))).volume, 'cluster', 'without a name it is the first')
  await t.rejects(statusOf(all.address('s3'), 'work'), { code: status.FAILED_PRECONDITION })

  await Promise.all(['s1', 's2'].map((name) => all.stopServer(name)))
  await Promise.all(['s1', 's2'].map((name) => all.startServer(name)))
  t.equal((await work.read(ino, 100)).toString(), 'kept', 'also after a restart of all its members')
  t.same(await main.names(), ['of main'])
  t.same(all.fatal, [])
})

void t.test('a volume without a quorum does not stop another', async (t) => {
  const all = await cluster(t, ['s1', 's2'])
  await all.directory.createRecord('work', newRecord([s1, s2], 2))
  const [main, work] = [new Files(all.router()), new Files(all.router({ volume: 'work' }))]
  await work.create('with both')
  await all.stopServer('s2')
  let made = false
  const waiting = work.create('with one').then(() => {
    made = true
  })
  for (let round = 0; round < 50; round++) await main.create(`file ${round}`)
  t.notOk(made, 'one of two is too few for it')
  await all.startServer('s2')
  await waiting
  t.same((await work.names()).toSorted(), ['with both', 'with one'])
  t.same(all.fatal, [])
})

void t.test('a copy that cannot be opened is missing, and takes nothing else along', async (t) => {
  const all = await cluster(t, ['s1', 's2', 's3'])
  writeFileSync(path.join(all.folder, 's1@work'), 'no folder')
  await all.directory.createRecord('work', newRecord([s1, s2, s3]))
  await new Files(all.router({ volume: 'work' })).create('of two')
  await served(all, 'work', 2)
  t.same((await all.directory.readRecord('work'))?.record.inSync.toSorted(), ['s2', 's3'])
  t.ok(all.events.some((line) => line.startsWith('s1 volume.not-joined')))
  await new Files(all.router({ pinned: 's1' })).create('of main')
  t.same(all.fatal, [])
})
