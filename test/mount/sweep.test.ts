import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { programArgs } from '../fixtures/program.ts'
import { mustRun } from '../fixtures/run.ts'
import { commandLine, memoryOf, mountsBelow } from '../fixtures/sweep.ts'
import { waitFor } from '../fixtures/wait.ts'

void t.test('when a test dies, its processes end and its mounts and folder go', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'banyan-sweep-'))
  const mounted = join(folder, 'mounted')
  mkdirSync(mounted)
  await mustRun('mount', ['-t', 'tmpfs', 'tmpfs', mounted])
  const memory = mkdtempSync('/dev/shm/banyan-sweep-')
  writeFileSync(join(memory, 'state'), `${folder}/state\n`)
  t.same(memoryOf(folder), [memory])
  const holder = spawn('tail', ['-f', '/dev/null', join(folder, 'named')], { cwd: mounted, stdio: 'ignore' })
  const sweeper = spawn(process.execPath, programArgs('sweeper', folder), { stdio: ['pipe', 'ignore', 'inherit'] })
  await waitFor(() => commandLine(holder.pid ?? 0).includes(folder) || undefined, {
    what: 'the process that holds the mount to run',
    limitMs: 10_000,
  })

  sweeper.stdin?.end() // as the kernel does when the test is gone
  await waitFor(() => !existsSync(folder) || undefined, { what: 'the folder to be removed', limitMs: 20_000 })
  t.same(mountsBelow(folder), [], 'nothing is mounted')
  t.notOk(existsSync(memory), 'and nothing is kept in memory')
  await waitFor(() => holder.signalCode !== null || undefined, { what: 'the process to end', limitMs: 5000 })
  t.equal(holder.signalCode, 'SIGKILL')
})
