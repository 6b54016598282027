import { spawn } from 'node:child_process'
import { closeSync, mkdtempSync, rmSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import t, { type Test } from 'tap'
import { livingLifeline, newLifeline, watchLifeline } from '../../cli/liveness.ts'
import { until } from '../server/directory/until.ts'

function folder(test: Test): string {
  const name = mkdtempSync(path.join(os.tmpdir(), 'banyan-lifeline-'))
  test.teardown(() => rmSync(name, { recursive: true, force: true }))
  return name
}

/** A process that holds the lifeline and does nothing. */
function holder(test: Test, file: string): { readonly reader: number; readonly kill: () => void } {
  const { reader, writer } = newLifeline(file)
  const child = spawn('sleep', ['1000'], { stdio: ['ignore', 'ignore', 'ignore', writer], detached: true })
  closeSync(writer)
  test.teardown(() => child.kill('SIGKILL'))
  return { reader, kill: () => child.kill('SIGKILL') }
}

void t.test('the end of a process is seen, and not before', async (t) => {
  const { reader, kill } = holder(t, path.join(folder(t), 'a'))
  let ended = 0
  const watched = watchLifeline(reader, () => {
    ended += 1
  })
  t.teardown(() => watched.close())
  await new Promise((resolve) => setImmediate(resolve))
  t.equal(ended, 0)
  kill()
  await until('its end', () => ended > 0)
  t.equal(ended, 1)
})

void t.test('somebody else than the parent sees it too: a supervisor that starts again', async (t) => {
  const file = path.join(folder(t), 'a')
  const { reader, kill } = holder(t, file)
  closeSync(reader) // the first supervisor is gone
  const again = livingLifeline(file)
  if (again === undefined) throw new Error('it lives, and was taken for dead')
  let ended = false
  const watched = watchLifeline(again, () => {
    ended = true
  })
  t.teardown(() => watched.close())
  kill()
  await until('its end', () => ended)
  t.equal(livingLifeline(file), undefined, 'and whoever comes later knows at once')
})

void t.test('a lifeline that nobody ever held is nobody', async (t) => {
  const file = path.join(folder(t), 'a')
  t.equal(livingLifeline(file), undefined)
  const { reader, writer } = newLifeline(file)
  closeSync(writer)
  closeSync(reader)
  t.equal(livingLifeline(file), undefined)
})
