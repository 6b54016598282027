import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { processesIn } from '../../scripts/network-lab/namespaces.ts'
import { TestLab } from '../fixtures/lab-of.ts'
import { loadFaults, now, RunningLoad, reportStall } from '../fixtures/running-load.ts'
import { waitFor } from '../fixtures/wait.ts'

// The directory's members answer nothing. That is nobody's business while the in-sync set need not change; when it must,
// changes wait for the directory.

t.setTimeout(600_000)

const hosts = await TestLab.start(t, { servers: 3, clients: 1, serversMount: false })
const { lab } = hosts

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
