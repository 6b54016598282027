import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { processesIn } from '../../scripts/network-lab/namespaces.ts'
import { TestLab } from '../fixtures/lab-of.ts'
import { LockProcess } from '../fixtures/lock-process.ts'
import { mustRun } from '../fixtures/run.ts'
import { loadFaults, now, RunningLoad, reportStall } from '../fixtures/running-load.ts'
import { waitFor } from '../fixtures/wait.ts'

// A client's host is lost. What it had locked and what it had open without a name stays for the time of its session, and is free
// then. In that minute the directory's members answer nothing: nobody's business while the in-sync set need not change; when it
// must, changes wait for the directory.

t.setTimeout(600_000)

const hosts = await TestLab.start(t, { servers: 3, clients: 2, serversMount: false })
const { lab } = hosts
const kinds = ['posix', 'ofd', 'flock'] as const
const unnamedMib = 48
/** `sessionTimeoutMs` of the servers, counted from when the client was last heard of, or from when its primary began. */
const sessionMs = 60_000
/** Until the end of a session is found, and the next in line has asked again. */
const foundMs = 12_000

/** On the client that will be lost: everything locked, and a file open that has no name any more. */
const lost = new LockProcess(join(hosts.folder, 'lost'))
/** On the one that stays. */
const waiting = kinds.map((how) => ({ how, process: new LockProcess(join(hosts.folder, 'waiting')) }))
const freed: { readonly how: string; readonly said: Promise<string>; at: number | undefined }[] = []
let lostAt = 0

/** Bytes that contents take on the disk of each server. */
async function contentsBytes(): Promise<number[]> {
  const places = lab.servers.map((name) => lab.place(name, `state/${name}/blobs`))
  return await Promise.all(
    places.map(async (place) => Number((await mustRun('du', ['-sB1', place])).stdout.split('\t')[0])),
  )
}

let withUnnamed: readonly number[] = []

void t.test('locks and an open file without a name live through a failover', async (t) => {
  const unnamed = join(lab.tree('y'), 'unnamed')
  await mustRun('sh', ['-c', 'yes "it has no name" | tr "\\n" " " | head -c "$0" > "$1"', `${unnamedMib}M`, unnamed])
  await mustRun('sync', [unnamed])
  t.equal(await lost.open('unnamed', unnamed), 'ok')
  const first = await lost.read('unnamed')
  for (const { how, process } of waiting) {
    t.equal(await lost.open(how, join(lab.tree('y'), how)), 'ok')
    t.equal(await lost.lock(how, { how, start: 10, length: 5 }), 'ok')
    t.equal(await process.open('f', join(lab.tree('x'), how)), 'ok')
  }
  await mustRun('rm', [join(lab.tree('x'), 'unnamed')])

  const primary = await hosts.primary('x')
  await lab.kill(primary)
  await hosts.anotherPrimary('x', primary)
  for (const { how, process } of waiting) {
    t.equal(await process.lock('f', { how, start: 12, length: 1 }), 'EAGAIN', `${how} is held`)
    if (how !== 'flock') t.equal(await process.lock('f', { how, start: 20, length: 1 }), 'ok', `${how}: no more is`)
  }
  t.equal(await lost.read('unnamed'), first, 'the file without a name is there')
  await lab.start(primary)
  await lab.inSync()
  t.equal(await lost.lock('ofd', { how: 'ofd', start: 100, length: 1 }), 'ok', 'its handle is good')
  withUnnamed = await contentsBytes()
})

void t.test('a client is lost: what it had is not free at once', async (t) => {
  await lab.kill('y')
  lostAt = performance.now()
  for (const { how, process } of waiting) {
    t.equal(await process.lock('f', { how, start: 12, length: 1 }), 'EAGAIN', how)
    const { said } = process.waits('f', { how, start: 12, length: 1 })
    const one: (typeof freed)[number] = { how, said, at: undefined }
    void said.then(() => (one.at = performance.now()))
    freed.push(one)
  }
})

/** This host's member of etcd. */
function etcdOf(host: string): readonly number[] {
  return processesIn(lab.folder, host).filter((pid) => {
    const [program = ''] = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0')
    return program.split('/').at(-1) === 'etcd'
  })
}

/** Lets them stand still, and answer nothing, until the result is called or the test has ended. */
function silence(t: Test, members: readonly string[]): () => void {
  const pids = members.flatMap((host) => etcdOf(host))
  if (pids.length < members.length) throw new Error(`etcd runs on ${pids.length} of ${members.join(', ')}`)
  const send = (signal: NodeJS.Signals): void => {
    for (const pid of pids) process.kill(pid, signal)
  }
  let silent = true
  const end = (): void => {
    if (silent) send('SIGCONT')
    silent = false
  }
  send('SIGSTOP')
  t.teardown(end)
  return end
}

async function load(name: string): Promise<{ readonly running: RunningLoad; readonly directory: string }> {
  const directory = join(lab.tree('x'), name)
  const running = await RunningLoad.start(hosts.folder, [{ id: 'a', directory }])
  await running.progress(200)
  return { running, directory }
}

for (const members of [1, 3]) {
  void t.test(`${members} of 3 members of etcd answer nothing: nobody notices`, async (t) => {
    const { running, directory } = await load(`etcd-${members}`)
    const primary = await hosts.primary('x')
    const began = now()
    const end = silence(t, lab.servers.slice(0, members))
    await running.progress(600)
    end()
    const records = await running.stop()
    reportStall(t, `${members} members of etcd stopped`, records, began)
    t.same(await loadFaults(directory, records), [])
    t.equal(await hosts.primary('x'), primary, 'the same host leads')
  })
}

void t.test('a server dies while all of etcd is away: changes wait for it, and nothing is lost', async (t) => {
  const { running, directory } = await load('etcd-and-server')
  const victim = await hosts.mirror('x')
  const end = silence(t, lab.servers)
  const pid = hosts.serverPid(victim)
  process.kill(pid, 'SIGKILL')
  await waitFor(() => hosts.serverPid(victim) !== pid || undefined, { what: 'its next process', limitMs: 60_000 })
  end()
  await running.progress(300, 120_000)
  await lab.inSync()
  const records = await running.stop()
  t.same(await loadFaults(directory, records), [])
  await hosts.verifyEqual('x')
})

void t.test('what the lost client had is free after the time of its session, not before', async (t) => {
  for (const one of freed) {
    t.equal(await one.said, 'ok')
    const ms = (one.at ?? 0) - lostAt
    // Of a client that says so every 0.15 s the primary hears every 0.5 s.
    t.ok(ms > sessionMs - 2000 && ms < sessionMs + foundMs, `${one.how} was free after ${(ms / 1000).toFixed(1)} s`)
  }
  const given = async (): Promise<true | undefined> => {
    const now = await contentsBytes()
    return now.every((bytes, index) => (withUnnamed[index] ?? 0) - bytes > 0.9 * unnamedMib * 2 ** 20) || undefined
  }
  await waitFor(given, { what: 'the room of the file without a name to be given back on every disk', limitMs: 30_000 })
  for (const one of [lost, ...waiting.map(({ process }) => process)]) one.end()
  await hosts.verifyEqual('x')
})
