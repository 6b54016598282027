import { writeFileSync } from 'node:fs'
import path from 'node:path'
import t, { type Test } from 'tap'
import { type MemoryMount, mountMemory } from '../../fixtures/memory-mount.ts'
import { mustRun, type Ran } from '../../fixtures/run.ts'
import { waitFor } from '../../fixtures/wait.ts'

/** Less often than it takes for a supervisor to give a driver up. */
const killsMax = 9

async function mountFor(t: Test): Promise<MemoryMount> {
  const mount = await mountMemory()
  t.teardown(() => mount.close())
  return mount
}

/**
 * Works until a file says that it is enough, and stops at the first answer that a working file system does not give:
 * an error, a name that is there already or gone already, an append that is not there once.
 */
const workload = `
import os, sys
dir, me, enough = sys.argv[1:4]
os.chdir(dir); os.mkdir(me); os.chdir(me)
log = os.open('log', os.O_WRONLY | os.O_CREAT | os.O_APPEND)
n = 0
while not os.path.exists(enough):
    n += 1
    assert os.write(log, b'%d\\n' % n) == len(b'%d\\n' % n)
    os.mkdir('d')
    f = os.open('d/f', os.O_RDWR | os.O_CREAT | os.O_EXCL)
    os.write(f, b'x' * 100000)
    os.link('d/f', 'd/g')
    os.rename('d/f', 'd/h')
    assert sorted(os.listdir('d')) == ['g', 'h'], os.listdir('d')
    os.unlink('d/g'); os.unlink('d/h')
    assert os.fstat(f).st_nlink == 0
    os.ftruncate(f, 50000)
    assert os.pread(f, 200000, 0) == b'x' * 50000
    os.close(f)
    os.rmdir('d')
os.close(log)
lines = open('log').read().split()
assert lines == [str(i) for i in range(1, n + 1)], 'the log has holes or doubles'
print(n)
`

async function killDriver(mounted: MemoryMount['mounted']): Promise<void> {
  const pid = mounted.pid()
  process.kill(pid, 'SIGKILL')
  await waitFor(() => (mounted.pid() !== pid ? true : undefined), { what: 'another driver', limitMs: 10_000 })
}

/** Has three processes do it, until the result is called: then each says how often it did. */
function startWork({ dir, folder }: MemoryMount, program: string): () => Promise<readonly Ran[]> {
  const [script, enough] = ['work.py', 'enough'].map((name) => path.join(folder, name)) as [string, string]
  writeFileSync(script, program)
  const works = ['a', 'b', 'c'].map((name) => mustRun('python3', [script, dir, name, enough], { limitMs: 110_000 }))
  const done = Promise.all(works)
  done.catch(() => {}) // looked at when they are to end
  return async () => {
    writeFileSync(enough, '')
    return await done
  }
}

/** Kills the driver at a moment when changes have been executed that it has not heard of. */
async function killAfterUnheardChange({ client, mounted }: MemoryMount): Promise<void> {
  let release = () => {}
  const killed = new Promise<void>((resolve) => {
    release = resolve
  })
  client.answerGate = () => killed
  const before = client.changes
  await waitFor(() => (client.changes > before ? true : undefined), {
    what: 'a change that is not answered',
    limitMs: 30_000,
    everyMs: 1,
  })
  await killDriver(mounted)
  client.answerGate = () => undefined
  release()
  await waitFor(() => (client.changes > before + 50 ? true : undefined), { what: 'work to go on', limitMs: 60_000 })
}

void t.test('a driver is killed under load: no error, and nothing is done twice', async (t) => {
  const mount = await mountFor(t)
  const { client, exits, errors } = mount
  const end = startWork(mount, workload)
  await waitFor(() => (client.changes > 50 ? true : undefined), { what: 'work to begin', limitMs: 30_000 })
  for (let kill = 0; kill < 4; kill++) await killAfterUnheardChange(mount)
  for (const { stdout } of await end()) t.ok(Number(stdout) > 0, `${stdout.trim()} rounds`)
  t.ok(client.repeats >= 4, `${client.repeats} changes were asked for again`)
  t.equal(exits.length, 4)
  t.strictSame(errors, ['driver.died', 'driver.died', 'driver.died', 'driver.died'])
  await waitFor(() => (client.remembered < 4 ? true : undefined), { what: 'nothing to be kept', limitMs: 5_000 })
})

/** Long writes, so that nearly always one is being taken. */
const longWrites = `
import os, sys
dir, me, enough = sys.argv[1:4]
f = os.open(os.path.join(dir, me), os.O_RDWR | os.O_CREAT)
n = 0
while not os.path.exists(enough):
    n += 1
    assert os.pwrite(f, b'x' * 1000000, 0) == 1000000
print(n)
`

void t.test('a driver is killed while it takes a request: the next one gets that', async (t) => {
  const mount = await mountFor(t)
  const { client, errors, exits, mounted } = mount
  const end = startWork(mount, longWrites)
  for (let kill = 0; kill < killsMax; kill++) {
    const before = client.changes
    await waitFor(() => (client.changes > before + 20 ? true : undefined), {
      what: 'writes',
      limitMs: 30_000,
      everyMs: 1,
    })
    await killDriver(mounted)
  }
  for (const { stdout } of await end()) t.ok(Number(stdout) > 0, `${stdout.trim()} writes`)
  t.equal(exits.length, killsMax)
  t.strictSame(new Set(errors), new Set(['driver.died']))
})

void t.test('a bug that nobody caught ends the driver at once, and another goes on', async (t) => {
  const { dir, mounted, exits } = await mountFor(t)
  await mustRun('touch', [path.join(dir, 'f')])
  process.kill(mounted.pid(), 'SIGUSR2')
  const { stdout } = await mustRun('sh', ['-c', `until [ "$(ls ${dir})" = f ]; do :; done; echo there`])
  t.equal(stdout, 'there\n')
  await waitFor(() => exits[0], { what: 'the driver to be replaced', limitMs: 5_000 })
  t.match(exits, [{ signal: 'SIGKILL' }])
})

void t.test('open descriptors go on in the next driver, also of a file without a name', async (t) => {
  const { dir, mounted, exits } = await mountFor(t)
  const work = mustRun('python3', [
    '-c',
    `
import os, sys, time
os.chdir('${dir}')
f = os.open('f', os.O_RDWR | os.O_CREAT); os.write(f, b'before'); os.unlink('f')
d = os.scandir('.')
print('ready', file=sys.stderr, flush=True)
os.kill(${mounted.pid()}, 9)
os.write(f, b' after')
print(os.pread(f, 100, 0).decode(), os.fstat(f).st_nlink, [e.name for e in d])
os.close(f)`,
  ])
  t.equal((await work).stdout, 'before after 0 []\n')
  t.equal(exits.length, 1)
})
