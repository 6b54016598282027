import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import t, { type Test } from 'tap'
import { abortConnection, probeMount } from '../../../fs-driver/kernel/mount.ts'
import { mountAt } from '../../../fs-driver/kernel/mount-table.ts'
import { superviseMount } from '../../../fs-driver/kernel/supervisor.ts'
import { driverCommand, type MemoryMount, mountMemory, newFolder } from '../../fixtures/memory-mount.ts'
import { programArgs } from '../../fixtures/program.ts'
import { mustRun, run } from '../../fixtures/run.ts'
import { processesNaming, sweep } from '../../fixtures/sweep.ts'
import { expect, waitFor } from '../../fixtures/wait.ts'

async function mountFor(t: Test): Promise<MemoryMount> {
  const mount = await mountMemory()
  t.teardown(() => mount.close())
  return mount
}

function folderFor(t: Test): { folder: string; dir: string } {
  const folder = newFolder()
  t.teardown(() => sweep(folder))
  const dir = path.join(folder, 'mnt')
  mkdirSync(dir)
  return { folder, dir }
}

const silent = { debug: () => {}, info: () => {}, error: () => {} }
const supervise = (folder: string, dir: string) =>
  superviseMount({ dir, name: 'memory', driverCommand: driverCommand(folder), log: silent })

/** The driver is gone, and so is its mount. */
async function allGone(t: Test, { dir, folder }: { dir: string; folder: string }): Promise<void> {
  t.equal(mountAt(dir), undefined)
  await waitFor(() => (processesNaming(folder).length === 0 ? true : undefined), {
    what: 'the driver to end',
    limitMs: 5_000,
  })
}

void t.test('an idle mount goes away at once', async (t) => {
  const mount = await mountFor(t)
  await mustRun('touch', [path.join(mount.dir, 'f')])
  await mount.mounted.unmount()
  t.equal(await mount.mounted.ended, 'unmounted')
  t.strictSame(mount.exits, [])
  await allGone(t, mount)
})

void t.test('umount by somebody else ends it as well', async (t) => {
  const mount = await mountFor(t)
  await mustRun('umount', [mount.dir])
  t.equal(await mount.mounted.ended, 'unmounted')
  await allGone(t, mount)
})

void t.test('who is in a mount that goes away may finish', async (t) => {
  const mount = await mountFor(t)
  const worker = spawn('python3', [
    '-c',
    `
import os, sys
os.chdir('${mount.dir}')
f = os.open('f', os.O_RDWR | os.O_CREAT)
print('ready', flush=True)
sys.stdin.readline()
os.write(f, b'still here'); assert os.pread(f, 100, 0) == b'still here'
print('done', flush=True)`,
  ])
  let said = ''
  worker.stdout.setEncoding('utf8').on('data', (text: string) => {
    said += text // a pipe does not keep lines together
  })
  await waitFor(() => said.includes('ready') || undefined, { what: 'the worker', limitMs: 20_000 })
  const closed = once(worker, 'close')
  const gone = mount.mounted.unmount({ lingerMs: 20_000 })
  await waitFor(() => (mountAt(mount.dir) === undefined ? true : undefined), { what: 'no mount', limitMs: 10_000 })
  worker.stdin.end('go\n')
  await Promise.all([gone, closed])
  t.equal(said, 'ready\ndone\n')
  await allGone(t, mount)
})

void t.test('who stays in it is cut off in the end', async (t) => {
  const mount = await mountFor(t)
  const worker = spawn('sh', ['-c', `cd ${mount.dir} && exec 5>f && echo ready && read line; echo x >&5`])
  let said = ''
  worker.stdout.setEncoding('utf8').on('data', (text: string) => {
    said += text
  })
  await waitFor(() => said.includes('ready') || undefined, { what: 'the worker', limitMs: 20_000 })
  await mount.mounted.unmount({ lingerMs: 100 })
  const ended = new Promise((resolve) => worker.once('exit', resolve))
  worker.stdin.end('go\n')
  t.not(await ended, 0, 'the write failed')
  await allGone(t, mount)
})

void t.test('a driver that hangs, with a process that waits for it, does not keep a mount alive', async (t) => {
  const mount = await mountFor(t)
  await mustRun('touch', [path.join(mount.dir, 'f')])
  process.kill(mount.mounted.pid(), 'SIGSTOP')
  const waiting = run('stat', [path.join(mount.dir, 'f')], { limitMs: 60_000 })
  await mount.mounted.unmount({ lingerMs: 100 })
  t.not((await waiting).code, 0)
  await allGone(t, mount)
})

void t.test('a process that waits for a file service that does not answer can be killed', async (t) => {
  const mount = await mountFor(t)
  await mustRun('touch', [path.join(mount.dir, 'f')])
  let asked = 0
  mount.client.gate = (call) => {
    if (call.$case !== 'lookup') return undefined
    asked++
    return new Promise(() => {}) // for ever
  }
  const worker = spawn('stat', [path.join(mount.dir, 'f')])
  const ended = new Promise((resolve) => worker.once('exit', (_, signal) => resolve(signal)))
  await waitFor(() => (asked > 0 ? true : undefined), { what: 'the lookup', limitMs: 10_000 })
  worker.kill('SIGTERM')
  t.equal(await ended, 'SIGTERM')
})

void t.test('a dead mount that was left over is taken away', async (t) => {
  const { folder, dir } = folderFor(t)
  const supervisor = spawn(process.execPath, programArgs('memory-supervisor', folder, dir))
  let said = ''
  supervisor.stdout.setEncoding('utf8').on('data', (text: string) => {
    said += text
  })
  const driver = await waitFor(() => /^\d+$/m.exec(said)?.[0], { what: 'its mount', limitMs: 20_000 })
  await mustRun('touch', [path.join(dir, 'f')])
  t.equal(await probeMount(dir), 'alive')
  await t.rejects(supervise(folder, dir), { message: /already mounted/ })
  supervisor.kill('SIGKILL')
  await mustRun('ls', [dir]) // a mount goes on without its supervisor
  process.kill(Number(driver), 'SIGKILL')
  await waitFor(async () => ((await probeMount(dir)) === 'dead' ? true : undefined), { what: 'death', limitMs: 5_000 })
  const mounted = await supervise(folder, dir)
  t.equal((await mustRun('ls', ['-a', dir])).stdout, '.\n..\n')
  await mounted.unmount()
  await allGone(t, { dir, folder })
})

void t.test('an aborted connection leaves no dead mount', async (t) => {
  const mount = await mountFor(t)
  await mustRun('touch', [path.join(mount.dir, 'f')])
  const { device } = expect(mountAt(mount.dir), 'no mount')
  await abortConnection(Number(device.split(':')[1]))
  t.equal(await mount.mounted.ended, 'unmounted')
  await allGone(t, mount)
})

void t.test('a driver that dies again and again is given up, and nothing stays', async (t) => {
  const { folder, dir } = folderFor(t)
  for (const driverCommand of [['false'], ['/nowhere/at/all']]) {
    const mounted = await superviseMount({ dir, name: 'memory', driverCommand, log: silent })
    t.equal(await mounted.ended, 'given-up')
    await mounted.unmount()
    await allGone(t, { dir, folder })
  }
})

void t.test('a place that cannot be mounted on is refused in a sentence', async (t) => {
  const { folder, dir } = folderFor(t)
  await t.rejects(supervise(folder, path.join(folder, 'none')), { message: /does not exist/ })
  await t.rejects(supervise(folder, path.join(folder, 'none/at/all')), { message: /does not exist/ })
  writeFileSync(path.join(dir, 'f'), '')
  await t.rejects(supervise(folder, dir), { message: /is not empty/ })
  await t.rejects(supervise(folder, path.join(dir, 'f')), { message: /is not a directory/ })
  await t.rejects(supervise(folder, '/proc'), { message: /mount point of something else/ })
})
