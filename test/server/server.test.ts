import t from 'tap'
import { errnos, FsError } from '../../proto/errno.ts'
import type { StatusReply } from '../../proto/generated/admin-service.ts'
import { waitFor } from '../fixtures/wait.ts'
import { Cluster, call } from './cluster.ts'
import { Files } from './files.ts'
import { statusOf } from './status-of.ts'

const others = (primary: string): readonly string[] => ['s1', 's2', 's3'].filter((name) => name !== primary)

const status = (cluster: Cluster, name: string): Promise<StatusReply> => statusOf(cluster.address(name))

void t.test('one server: what is written is read, also after a restart', async (t) => {
  const cluster = await Cluster.start(['s1'])
  t.teardown(() => cluster.close())
  const files = new Files(cluster.router())
  const ino = await files.create('a')
  const big = Buffer.alloc(300_000, 'x')
  await files.write(ino, big)
  t.same(await files.read(ino, 1_000_000), big)
  await files.fsync(ino)
  const space = await call(files.router, { $case: 'statfs', value: {} })
  t.ok(space.$case === 'space' && space.value.free > 0n)
  await cluster.stopServer('s1')
  const read = files.read(ino, 1_000_000)
  await cluster.startServer('s1')
  t.same(await read, big)
  t.same(await files.names(), ['a'])
  t.same(cluster.fatal, [])
})

void t.test('three servers: what one has acknowledged all show, and it outlives the primary', async (t) => {
  const cluster = await Cluster.start(['s1', 's2', 's3'])
  t.teardown(() => cluster.close())
  await cluster.inSync(3)
  const first = await cluster.primary()
  const [mirror = ''] = others(first)
  const near = new Files(cluster.router({ pinned: first }))
  const far = new Files(cluster.router({ pinned: mirror }))
  const free = new Files(cluster.router())
  const ino = await near.create('shared')
  for (let round = 0; round < 20; round++) {
    const [writer, reader] = round % 2 === 0 ? [near, far] : [far, near]
    const data = Buffer.from(`round ${round}`)
    await writer.write(ino, data)
    t.same(await reader.read(ino, 100), Buffer.concat([data]).subarray(0, data.length))
    await writer.create(`file ${round}`)
    t.not(await reader.lookup(`file ${round}`), undefined)
  }
  t.equal((await far.names()).length, 21)
  const log = await free.create('log')
  const appended = Array.from({ length: 60 }, (_, line) => free.append(log, Buffer.from(`${line}\n`)))
  await cluster.stopServer(first)
  await Promise.all(appended)
  t.not(await cluster.primary(), first)
  const lines = (await far.read(log, 10_000)).toString().trim().split('\n').map(Number)
  t.same(
    lines.toSorted((a, b) => a - b),
    Array.from({ length: 60 }, (_, line) => line),
    'each once',
  )
  await cluster.startServer(first)
  await cluster.inSync(3)
  t.equal((await near.names()).length, 22)
  t.same(cluster.fatal, [])
})

for (const names of [['s1'], ['s1', 's2']]) {
  void t.test(
    `an unlinked file stays readable while it is open, asked through ${names.at(-1)} of ${names.length}`,
    async (t) => {
      const cluster = await Cluster.start(names)
      t.teardown(() => cluster.close())
      await cluster.inSync(names.length)
      const primary = await cluster.primary()
      let open = true
      const other = names.find((name) => name !== primary) ?? primary
      const files = new Files(cluster.router({ isOpen: () => open, pinned: other }))
      const ino = await files.create('a')
      await files.write(ino, Buffer.from('still here'))
      await files.unlink('a')
      const orphans = (count: bigint): Promise<true> =>
        waitFor(async () => ((await status(cluster, primary)).orphans === count ? true : undefined), {
          what: `${count} orphans`,
          limitMs: 8000,
        })
      await orphans(1n)
      const rounds = (): Promise<true> =>
        waitFor(() => (cluster.events.some((line) => line.includes('orphans.kept')) ? true : undefined), {
          what: 'a round in which it is open',
          limitMs: 8000,
        })
      await rounds()
      t.equal((await files.read(ino, 100)).toString(), 'still here')
      open = false
      await orphans(0n)
      const gone = await files.read(ino, 100).catch((error: unknown) => error)
      t.ok(gone instanceof FsError && errnos[gone.errno] === errnos.ESTALE)
      t.same(cluster.fatal, [])
    },
  )
}

void t.test('what a host had open is given back after it has died', async (t) => {
  const cluster = await Cluster.start(['s1', 's2'], undefined, { sessionTimeoutMs: 2_000 })
  t.teardown(() => cluster.close())
  await cluster.inSync(2)
  const primary = await cluster.primary()
  const dying = cluster.router({ isOpen: () => true })
  const holder = new Files(dying)
  const other = new Files(cluster.router())
  const ino = await holder.create('a')
  await other.unlink('a')
  const orphans = (count: bigint): Promise<true> =>
    waitFor(async () => ((await status(cluster, primary)).orphans === count ? true : undefined), {
      what: `${count} orphans`,
      limitMs: 15_000,
    })
  await orphans(1n)
  await dying.close()
  await orphans(0n)
  const gone = await other.read(ino, 100).catch((error: unknown) => error)
  t.ok(gone instanceof FsError && errnos[gone.errno] === errnos.ESTALE)
  t.same(cluster.fatal, [])
})

void t.test('status tells members, sessions and space', async (t) => {
  const cluster = await Cluster.start(['s1', 's2', 's3'])
  t.teardown(() => cluster.close())
  await cluster.inSync(3)
  const files = new Files(cluster.router({ path: '/somewhere' }))
  await files.create('a')
  const primary = await cluster.primary()
  const reply = await waitFor(
    async () => {
      const now = await status(cluster, primary)
      return now.sessions.length === 1 ? now : undefined
    },
    { what: 'the session in the status', limitMs: 5000 },
  )
  t.equal(reply.sessions[0]?.path, '/somewhere')
  t.same(reply.members.map(({ name, state }) => `${name} ${state}`).toSorted(), [
    's1 in-sync',
    's2 in-sync',
    's3 in-sync',
  ])
  t.equal(reply.primary, primary)
  t.ok((reply.space?.freeBytes ?? 0n) > 0n)
  const [mirror = ''] = others(primary)
  t.equal((await status(cluster, mirror)).role, 'mirror')
})
