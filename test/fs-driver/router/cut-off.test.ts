import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import t from 'tap'
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
const getattr: FileCall = { $case: 'getattr', value: { ino: 1n } }

void t.test('where a partition has no primary, changes are refused unsent, and reads are asked', async (t) => {
  const folder = mkdtempSync(path.join(tmpdir(), 'banyan-router-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const cluster = new FakeCluster(['s1'])
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
  await hears('no error')
  cluster.cutOff = 'read'
  await hears('EROFS')
  const before = cluster.arrived.length
  t.equal(await errnoOf(mkdir('refused')), 'EROFS')
  t.equal(await errnoOf(getattr), 'no error')
  t.equal(cluster.arrived.length, before, 'nothing was sent that changes something')
  cluster.cutOff = 'stop'
  await hears('EIO')
  cluster.cutOff = ''
  await hears('no error')
  t.notOk(cluster.effects.includes('refused'))
})
