import { type ChildProcess, spawn } from 'node:child_process'
import type { Duplex } from 'node:stream'
import t, { type Test } from 'tap'
import { bondFd, successionVariable } from '../../../fs-driver/kernel/bond.ts'
import { programArgs } from '../../fixtures/program.ts'
import { waitFor } from '../../fixtures/wait.ts'

/** A process whose supervisor we are; `command`: what it starts when we are dead to it. */
function bonded(t: Test, command: readonly string[]): { process: ChildProcess; said: () => string; die: () => void } {
  const child = spawn(process.execPath, programArgs('bonded-process'), {
    stdio: ['ignore', 'pipe', 'inherit', 'ignore', 'pipe'],
    env: { ...process.env, [successionVariable]: JSON.stringify({ command, connection: 7 }) },
  })
  t.teardown(() => child.kill('SIGKILL'))
  let said = ''
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    said += text
  })
  return { process: child, said: () => said, die: () => (child.stdio[bondFd] as Duplex).destroy() }
}

const limitMs = 20_000

void t.test('who is left is told what it is to keep, and is followed by another when it ends', async (t) => {
  const word = 'console.log(`heritage ${process.env.BANYAN_HERITAGE}`)'
  const { process: child, said, die } = bonded(t, [process.execPath, '-e', word])
  die()
  const heritage = `heritage {"connection":7,"driver":${child.pid}}`
  await waitFor(() => said().split(heritage).length > 2 || undefined, { what: 'two, one after the other', limitMs })
  t.equal(child.exitCode, null, 'it lives')
})

void t.test('one that cannot be started is tried again', async (t) => {
  const { process: child, said, die } = bonded(t, ['/nowhere/at/all'])
  die()
  await waitFor(() => said().split('supervisor.failed').length > 2 || undefined, { what: 'two attempts', limitMs })
  t.equal(child.exitCode, null, 'it lives')
})
