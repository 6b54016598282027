import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import t from 'tap'
import type { FileCall } from '../../../fs-driver/router/file-client.ts'
import { createRouter, type Router, type RouterOptions } from '../../../fs-driver/router/router.ts'
import { FsError } from '../../../proto/errno.ts'
import { waitFor } from '../../fixtures/wait.ts'
import { FakeCluster } from './fake-cluster.ts'

type Test = { teardown(run: () => unknown): void }

const caller = { uid: 0, gid: 0, groups: [], pid: 1 }
const mkdir = (name: string): FileCall => ({
  $case: 'mkdir',
  value: { parent: 1n, name: Buffer.from(name), mode: 0o755, umask: 0 },
})
/** As a driver does it: calls, then answers its kernel. */
async function request(files: Router, unique: bigint, operation: FileCall): Promise<void> {
  await files.call(operation, caller, { unique, step: 0 })
  files.answered(unique)
}

const getattr: FileCall = { $case: 'getattr', value: { ino: 1n } }

function slotFile(t: Test): string {
  const folder = mkdtempSync(path.join(tmpdir(), 'banyan-router-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  return path.join(folder, 'slots')
}

function router(t: Test, cluster: FakeCluster, options: Partial<RouterOptions> = {}): Router {
  const made = createRouter({
    providers: cluster,
    transport: cluster,
    host: 'here',
    path: '/mnt',
    isOpen: () => false,
    slotFile: options.slotFile ?? slotFile(t),
    ...options,
  })
  t.teardown(() => made.close())
  return made
}

const attached = (to: Router, name: string): Promise<true> =>
  waitFor(() => (to.provider() === name ? true : undefined), {
    what: `being attached to ${name}`,
    limitMs: 5000,
    everyMs: 5,
  })

const errnoOf = async (call: Promise<unknown>): Promise<string> => {
  try {
    await call
    return 'no error'
  } catch (error) {
    return error instanceof FsError ? error.errno : String(error)
  }
}

void t.test('a change whose reply was lost with its provider is sent again under its name and made once', async (t) => {
  const cluster = new FakeCluster(['s1', 's2'])
  const files = router(t, cluster)
  await attached(files, 's1')
  cluster.dieAfterExecuting = true
  await files.call(mkdir('a'), caller, { unique: 1n, step: 0 })
  t.same(cluster.effects, ['a'])
  t.equal(cluster.arrived.length, 2)
  t.equal(cluster.arrived[0], cluster.arrived[1])
  t.equal(files.provider(), 's2')
})

void t.test('a frozen provider is left after its silence; one that refuses at once', async (t) => {
  const cluster = new FakeCluster(['s1', 's2', 's3'])
  cluster.provider('s2').mode = 'unwilling'
  const files = router(t, cluster, { silenceMs: 200 })
  await attached(files, 's1')
  cluster.provider('s1').mode = 'frozen'
  await files.call(getattr, caller, { unique: 1n, step: 0 })
  t.equal(files.provider(), 's3')
  t.same(cluster.opened, ['s1', 's2', 's3'])
})

void t.test('a provider that answers is kept, however long a request takes', async (t) => {
  const cluster = new FakeCluster(['s1', 's2'])
  const files = router(t, cluster, { silenceMs: 150, unavailableMs: 100 })
  await attached(files, 's1')
  cluster.provider('s1').mode = 'deaf'
  const call = files.call(getattr, caller, { unique: 1n, step: 0 })
  await waitFor(() => (cluster.heard.length >= 5 ? true : undefined), { what: 'heartbeats', limitMs: 5000 })
  t.equal(files.provider(), 's1')
  cluster.kill('s1')
  await call
})

void t.test('providers that give no sign do not hide the one that is left', async (t) => {
  const cluster = new FakeCluster(['s1', 's2', 's3', 's4'])
  for (const name of ['s1', 's2', 's3']) cluster.provider(name).mode = 'frozen'
  const files = router(t, cluster)
  await attached(files, 's4')
})

void t.test(
  'with no provider a call waits, then says EIO; interrupted, EINTR if nothing can have happened',
  async (t) => {
    const cluster = new FakeCluster(['s1'])
    cluster.kill('s1')
    const files = router(t, cluster, { unavailableMs: 300 })
    const abort = new AbortController()
    const interrupted = errnoOf(files.call(mkdir('a'), caller, { unique: 1n, step: 0, signal: abort.signal }))
    const late = errnoOf(files.call(mkdir('b'), caller, { unique: 2n, step: 0 }))
    abort.abort()
    t.equal(await interrupted, 'EINTR')
    t.equal(await late, 'EIO')
    cluster.provider('s1').mode = 'alive'
    await files.call(mkdir('c'), caller, { unique: 3n, step: 0 })
    t.same(cluster.effects, ['c'])
  },
)

void t.test('an interrupted change that has gone out gives its true result', async (t) => {
  const cluster = new FakeCluster(['s1', 's2'])
  const files = router(t, cluster)
  await attached(files, 's1')
  cluster.provider('s1').mode = 'deaf'
  const abort = new AbortController()
  const change = errnoOf(files.call(mkdir('a'), caller, { unique: 1n, step: 0, signal: abort.signal }))
  const read = errnoOf(files.call(getattr, caller, { unique: 2n, step: 0, signal: abort.signal }))
  abort.abort()
  t.equal(await read, 'EINTR')
  cluster.kill('s1')
  t.equal(await change, 'no error')
  t.same(cluster.effects, ['a'])
})

void t.test('the next driver asks again under the same name, also when others went out meanwhile', async (t) => {
  const cluster = new FakeCluster(['s1'])
  const file = slotFile(t)
  const first = router(t, cluster, { slotFile: file })
  await attached(first, 's1')
  await Promise.all([1n, 2n, 3n].map((unique) => request(first, unique, mkdir(`d${unique}`))))
  await first.close()
  const second = router(t, cluster, { slotFile: file })
  await attached(second, 's1')
  await Promise.all(Array.from({ length: 100 }, (_, i) => request(second, 100n + BigInt(i), mkdir(`e${i}`))))
  t.equal(cluster.effects.length, 103)
  await second.call(mkdir('d2'), caller, { unique: 2n, step: 0 })
  t.equal(cluster.effects.length, 103, 'it was made before')
  await second.close()
  const third = router(t, cluster, { slotFile: file })
  await attached(third, 's1')
  await Promise.all(Array.from({ length: 100 }, (_, i) => request(third, 300n + BigInt(i), mkdir(`f${i}`))))
  await third.call(mkdir('d2'), caller, { unique: 2n, step: 0 })
  t.equal(cluster.effects.length, 203, 'nor by the third')
})

void t.test('more changes than slots wait their turn; interrupted meanwhile they are EINTR', async (t) => {
  const cluster = new FakeCluster(['s1'])
  const files = router(t, cluster)
  await attached(files, 's1')
  cluster.provider('s1').mode = 'deaf'
  const abort = new AbortController()
  const calls = Array.from({ length: 200 }, (_, i) => {
    if (i < 199) return errnoOf(request(files, BigInt(i), mkdir(`d${i}`)))
    return errnoOf(files.call(mkdir('d199'), caller, { unique: 199n, step: 0, signal: abort.signal }))
  })
  abort.abort()
  t.equal(await calls[199], 'EINTR')
  cluster.kill('s1')
  cluster.provider('s1').mode = 'alive'
  t.same(
    await Promise.all(calls.slice(0, 199)),
    Array.from({ length: 199 }, () => 'no error'),
  )
  t.equal(cluster.effects.length, 199)
})

void t.test('when the session is over, only changes of unknown fate fail; the mount goes on', async (t) => {
  const cluster = new FakeCluster(['s1'])
  const files = router(t, cluster)
  await attached(files, 's1')
  cluster.provider('s1').mode = 'deaf'
  const lost = errnoOf(files.call(mkdir('a'), caller, { unique: 1n, step: 0 }))
  const read = errnoOf(files.call(getattr, caller, { unique: 2n, step: 0 }))
  await new Promise((resolve) => setImmediate(resolve))
  cluster.ended.add(1n)
  cluster.provider('s1').mode = 'alive'
  cluster.goodbye('s1', true)
  t.equal(await lost, 'EIO')
  t.equal(await read, 'no error')
  await files.call(mkdir('b'), caller, { unique: 3n, step: 0 })
})

void t.test('a driver says which orphans are open here', async (t) => {
  const cluster = new FakeCluster(['s1'])
  const files = router(t, cluster, { isOpen: (ino) => ino === 8n })
  await attached(files, 's1')
  cluster.asked = [7n, 8n]
  const heard = await waitFor(() => cluster.heard.find(({ round }) => round === 1n), {
    what: 'an answer',
    limitMs: 5000,
  })
  t.same(heard.open, [8n])
})

void t.test('a pinned driver waits for its provider and uses no other', async (t) => {
  const cluster = new FakeCluster(['s1', 's2'])
  const files = router(t, cluster, { pinned: cluster.provider('s2').advert.node })
  await attached(files, 's2')
  cluster.kill('s2')
  const call = files.call(getattr, caller, { unique: 1n, step: 0 })
  await waitFor(() => (cluster.opened.length > 2 ? true : undefined), { what: 'another attempt', limitMs: 5000 })
  cluster.provider('s2').mode = 'alive'
  await call
  t.notOk(cluster.opened.includes('s1'))
})

void t.test('when all hosts lost power, one change fails and reads go on', async (t) => {
  const cluster = new FakeCluster(['s1'])
  const files = router(t, cluster)
  await request(files, 1n, mkdir('a'))
  cluster.epoch = 2n
  await request(files, 2n, getattr)
  await request(files, 3n, mkdir('b'))
  cluster.epoch = 3n
  t.equal(await errnoOf(request(files, 4n, mkdir('c'))), 'EIO')
  await request(files, 5n, mkdir('d'))
  t.same(cluster.effects, ['a', 'b', 'd'])
})

void t.test('a mount that is gone ends its session; a driver that is closed does not', async (t) => {
  const cluster = new FakeCluster(['s1', 's2'])
  const closed = router(t, cluster)
  await attached(closed, 's1')
  await closed.close()
  t.equal(cluster.endings, 0)
  const ended = router(t, cluster)
  await attached(ended, 's1')
  await ended.end()
  t.equal(cluster.endings, 1)
  t.equal(await errnoOf(ended.call(getattr, caller, { unique: 1n, step: 0 })), 'EIO')
  await ended.end()
})

void t.test('a session is ended where another provider takes it, or left to its time', async (t) => {
  const cluster = new FakeCluster(['s1', 's2'])
  const files = router(t, cluster)
  await attached(files, 's1')
  cluster.provider('s1').mode = 'frozen'
  await files.end()
  t.equal(cluster.endings, 1, 'at s2')
  const alone = new FakeCluster(['s1'])
  const lonely = router(t, alone)
  await attached(lonely, 's1')
  alone.provider('s1').mode = 'frozen'
  await lonely.end()
  t.equal(alone.endings, 0)
})

void t.test('a lock that was not granted keeps no slot', async (t) => {
  const cluster = new FakeCluster(['s1'])
  const files = router(t, cluster)
  await attached(files, 's1')
  const range = { ino: 1n, owner: 1n, flock: true, exclusive: true, start: 0n, end: 1n }
  const lock: FileCall = { $case: 'lock', value: { range, handle: 1n, wait: 0n } }
  cluster.granted = false
  for (let step = 0; step < 200; step++) await files.call(lock, caller, { unique: 1n, step })
  cluster.granted = true
  await files.call(lock, caller, { unique: 1n, step: 200 })
  await files.call(mkdir('a'), caller, { unique: 2n, step: 0 })
  t.equal(cluster.effects.at(-1), 'a')
})

void t.test('what is patient waits however long nobody answers', async (t) => {
  const cluster = new FakeCluster(['s1'])
  const files = router(t, cluster, { unavailableMs: 100 })
  await attached(files, 's1')
  cluster.kill('s1')
  const patient = files.call(mkdir('a'), caller, { unique: 1n, step: 0, patient: true })
  t.equal(await errnoOf(files.call(mkdir('b'), caller, { unique: 2n, step: 0 })), 'EIO')
  cluster.provider('s1').mode = 'alive'
  await patient
  t.same(cluster.effects, ['a'])
})

void t.test('who uses the session is told when the servers have ended it', async (t) => {
  const cluster = new FakeCluster(['s1'])
  let told = 0
  const files = router(t, cluster, { onSessionEnded: () => told++ })
  await attached(files, 's1')
  cluster.goodbye('s1', true)
  await waitFor(() => told === 1 || undefined, { what: 'being told', limitMs: 5000, everyMs: 5 })
  await request(files, 1n, mkdir('a'))
  t.equal(told, 1)
})
