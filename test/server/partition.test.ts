import t, { type Test } from 'tap'
import { FsError } from '../../proto/errno.ts'
import type { OnPartition } from '../../replication/record.ts'
import { waitFor } from '../fixtures/wait.ts'
import { Cluster } from './cluster.ts'
import { Files } from './files.ts'
import { statusOf } from './status-of.ts'

t.setTimeout(120_000)

/** One of three servers is left alone: without the others, and without the directory. */
async function leftAlone(
  t: Test,
  onPartition: OnPartition,
): Promise<{ readonly cluster: Cluster; readonly left: string; readonly files: Files; readonly ino: bigint }> {
  const cluster = await Cluster.start(['s1', 's2', 's3'], undefined, { partitionAfterMs: 5000, onPartition })
  t.teardown(() => cluster.close())
  await cluster.inSync(3)
  const primary = await cluster.primary()
  const left = ['s1', 's2', 's3'].find((name) => name !== primary) ?? ''
  const files = new Files(cluster.router({ pinned: left }))
  const ino = await files.create('known')
  await files.write(ino, Buffer.from('contents'))
  t.same((await files.read(ino, 100)).toString(), 'contents')
  cluster.directoryAway = true
  for (const name of ['s1', 's2', 's3']) if (name !== left) await cluster.stopServer(name)
  await waitFor(async () => (await statusOf(cluster.address(left))).cutOff || undefined, {
    what: `${left} to find out`,
    limitMs: 20_000,
  })
  return { cluster, left, files, ino }
}

/** That is the errno that a program gets. */
async function refused(t: Test, errno: string, asked: Promise<unknown>): Promise<void> {
  const error: unknown = await asked.then(
    () => undefined,
    (reason: unknown) => reason,
  )
  t.equal(error instanceof FsError ? error.errno : error, errno)
}

const logged = (cluster: Cluster, what: string): Promise<true> =>
  waitFor(() => cluster.events.some((event) => event.startsWith(what)) || undefined, { what, limitMs: 10_000 })

async function mend(cluster: Cluster, left: string): Promise<void> {
  cluster.directoryAway = false
  for (const name of ['s1', 's2', 's3']) if (name !== left) await cluster.startServer(name)
}

void t.test(
  'on-partition=read: the last known state is read, changes are refused, until the partition ends',
  async (t) => {
    const { cluster, left, files, ino } = await leftAlone(t, 'read')
    t.equal((await statusOf(cluster.address(left))).cutOff, 'read')
    t.same((await files.read(ino, 100)).toString(), 'contents')
    t.same(await files.names(), ['known'])
    await refused(t, 'EROFS', files.create('new'))
    await refused(t, 'EROFS', files.write(ino, Buffer.from('other')))
    await logged(cluster, `${left} partition.begins`)
    await mend(cluster, left)
    await cluster.inSync(3)
    await waitFor(async () => (await statusOf(cluster.address(left))).cutOff === '' || undefined, {
      what: `${left} to be well`,
      limitMs: 20_000,
    })
    await waitFor(() => files.write(ino, Buffer.from('CONTENTS')).then(() => true), {
      what: 'the mount to hear of it',
      limitMs: 5000,
    })
    t.same((await files.read(ino, 100)).toString(), 'CONTENTS')
    t.same(await files.names(), ['known'], 'what was refused has not happened')
    await logged(cluster, `${left} partition.ends`)
    t.same(cluster.fatal, [])
  },
)

void t.test('on-partition=stop: everything is refused', async (t) => {
  const { cluster, left, files, ino } = await leftAlone(t, 'stop')
  t.equal((await statusOf(cluster.address(left))).cutOff, 'stop')
  await refused(t, 'EIO', files.read(ino, 100))
  await refused(t, 'EIO', files.create('new'))
  t.same(cluster.fatal, [])
})
