import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { openLog } from '../../cli/log.ts'

void t.test('a log that cannot be written ends nobody', async (t) => {
  const log = openLog('/dev/full', 'name', 'info')
  for (let line = 0; line < 2000; line++) log.error('event', { text: 'x'.repeat(1000) })
  await new Promise(setImmediate)
  t.pass('it goes on')
})

void t.test('lines are JSON, with the event, fields, and the causes of errors', async (t) => {
  const file = join(t.testdir(), 'folder', 'a.log')
  const log = openLog(file, 'name', 'info')
  log.debug('unseen')
  log.info('event', { number: 1 })
  log.error('failed', { error: new Error('outer', { cause: new Error('inner') }) })
  const lines = readFileSync(file, 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as object)
  t.match(lines, [
    { name: 'name', msg: 'event', number: 1 },
    { msg: 'failed', error: { message: 'outer', cause: { message: 'inner' } } },
  ])
})
