import { appendFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { logLine } from '../fixtures/load-record.ts'
import { loadFaults, now, RunningLoad } from '../fixtures/running-load.ts'
import { waitFor } from '../fixtures/wait.ts'

void t.test('on a plain directory a load finds no fault, and every fault planted afterwards', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'banyan-load-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const directory = join(folder, 'work')
  const load = await RunningLoad.start(folder, [
    { id: 'a', directory },
    { id: 'b', directory },
  ])
  const began = now()
  const log = join(directory, 'shared.log')
  await waitFor(() => readFileSync(log, 'utf8').split('\n').length > 100 || undefined, {
    what: '100 lines in the log',
    limitMs: 20_000,
  })
  const records = await load.stop()
  t.comment(`${records.reduce((sum, record) => sum + record.operations.length, 0)} operations`)
  t.ok(
    records.every((record) => record.operations.some((operation) => operation.start >= began)),
    'each did something',
  )
  t.ok(
    records.every((record) => record.accesses.some((access) => access.kind === 'read')),
    'registers were read',
  )
  t.same(await loadFaults(directory, records), [], 'nothing is wrong with a plain directory')

  const whole = readFileSync(log, 'utf8')
  const lines = whole.split('\n')
  const withLog = async (text: string) => {
    writeFileSync(log, text)
    const faults = await loadFaults(directory, records)
    writeFileSync(log, whole)
    return faults
  }
  t.match(await withLog(lines.filter((_, index) => index !== 40).join('\n')), [/are lost/], 'a lost line')
  t.match(await withLog(lines.toSpliced(40, 0, lines[30] ?? '').join('\n')), [/is there again/], 'a doubled line')
  appendFileSync(join(directory, 'synced-a.log'), logLine('b', 1))
  t.match(await loadFaults(directory, records), [/synced-a.log: nobody wrote/], 'a line in the wrong file')
})
