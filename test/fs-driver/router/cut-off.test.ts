import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import t, { type Test } from 'tap'
import type { FileCall } from '../../../fs-driver/router/file-client.ts'
import { createRouter } from '../../../fs-driver/router/router.ts'
import { FsError } from '../../../proto/errno.ts'
import { waitFor } from '../../fixtures/wait.ts'
import { FakeCluster } from './fake-cluster.ts'

const caller = { uid: 0, gid: 0, groups: [], pid: 1 }
const mkdir = (name: string): FileCall => ({
  $case: 'mkdir',
  value: { parent: 1n, name: Buffer.from(name), mode: 0o755, umask: 0 },
})
/** Longer than it takes to leave a provider for a better one. */
const leavesMs = 4000
const getattr: FileCall = { $case: 'getattr', value: { ino: 1n } }

function begin(t: Test, names: readonly string[]) {
  const folder = mkdtempSync(path.join(tmpdir(), 'banyan-router-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const cluster = new FakeCluster(names)
  const slotFile = path.join(folder, 'slots')
  const files = createRouter({
    providers: cluster,
    transport: cluster,
    host: 'here',
    path: '/mnt',
    isOpen: () => false,
    slotFile,
  })
  t.teardown(() => files.close())
  let unique = 0n
  const errnoOf = async (operation: FileCall): Promise<string> => {
    unique += 1n
    try {
      await files.call(operation, caller, { unique, step: 0 })
      return 'no error'
    } catch (error) {
      return error instanceof FsError ? error.errno : String(error)
    } finally {
      files.answered(unique)
    }
  }
  const hears = (wanted: string): Promise<true> =>
    waitFor(async () => (await errnoOf(mkdir(`told ${unique}`))) === wanted || undefined, {
      what: `changes to get ${wanted}`,
      limitMs: 5000,
    })
  return { cluster, files, errnoOf, hears, first: cluster.provider(names[0] ?? '') }
}

void t.test('where a partition has no primary, changes are refused unsent, and reads are asked', async (t) => {
  const { cluster, errnoOf, first, hears } = begin(t, ['s1'])
  await hears('no error')
  first.cutOff = 'read'
  await hears('EROFS')
  const before = cluster.arrived.length
  t.equal(await errnoOf(mkdir('refused')), 'EROFS')
  t.equal(await errnoOf(getattr), 'no error')
  t.equal(cluster.arrived.length, before, 'nothing was sent that changes something')
  first.cutOff = 'stop'
  await hears('EIO')
  first.cutOff = ''
  await hears('no error')
  t.notOk(cluster.effects.includes('refused'))
})

void t.test('a client that sees the directory of the other side leaves a provider that is cut off', async (t) => {
  const { cluster, files, first, hears } = begin(t, ['s1', 's2'])
  await hears('no error')
  t.equal(files.provider(), 's1')
  first.cutOff = 'read'
  await hears('EROFS')
  first.advertised = false
  cluster.advertise()
  await hears('no error')
  t.equal(files.provider(), 's2')
})

void t.test('a client that is cut off as well, and sees old adverts, stays: nobody else answers it', async (t) => {
  const { cluster, files, first, hears } = begin(t, ['s1', 's2'])
  await hears('no error')
  first.cutOff = 'read'
  await hears('EROFS')
  const began = performance.now()
  await waitFor(() => performance.now() - began > leavesMs || undefined, { what: 'its time', limitMs: 10_000 })
  t.equal(files.provider(), 's1')
  t.same(cluster.opened, ['s1'], 'nobody else was tried')
})
