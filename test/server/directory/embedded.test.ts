import { mkdtempSync, rmSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { Level } from 'level'
import t, { type Test } from 'tap'
import { incarnation } from '../../../proto/ids.ts'
import { DirectoryUnavailable } from '../../../server/directory/directory.ts'
import { EmbeddedDirectory } from '../../../server/directory/embedded.ts'
import { Ears, first, ruledBy, runDirectorySuite, s1 } from './suite.ts'
import { until } from './until.ts'

function folder(test: Test): string {
  const name = mkdtempSync(path.join(os.tmpdir(), 'banyan-directory-'))
  test.teardown(() => rmSync(name, { recursive: true, force: true }))
  return name
}

runDirectorySuite(async (t) => {
  const directory = await EmbeddedDirectory.open(folder(t))
  t.teardown(() => directory.close())
  return { one: directory, other: directory }
})

void t.test('records and deaths outlive the process', async (t) => {
  const where = folder(t)
  const before = await EmbeddedDirectory.open(where)
  await before.createRecord('main', first)
  await before.swapRecord('main', 1, ruledBy(s1, 1))
  await before.attestDeath(s1, incarnation('s1-a'))
  await before.close()
  const after = await EmbeddedDirectory.open(where)
  t.teardown(() => after.close())
  t.same(await after.readRecord('main'), { version: 2, record: ruledBy(s1, 1) })
  const ears = new Ears()
  const watch = after.watch('main', ears)
  t.teardown(() => watch.close())
  await until('the death', () => ears.deaths.includes('s1 s1-a'))
})

void t.test('a directory is open once', async (t) => {
  const where = folder(t)
  const directory = await EmbeddedDirectory.open(where)
  t.teardown(() => directory.close())
  await t.rejects(EmbeddedDirectory.open(where), DirectoryUnavailable)
})

void t.test('a damaged record is refused by name, not guessed at', async (t) => {
  const where = folder(t)
  const level = new Level<string, Uint8Array>(where, { keyEncoding: 'utf8', valueEncoding: 'view' })
  await level.put('record/main', new Uint8Array([0x0a, 0xff, 0x01, 0x02]))
  await level.close()
  await t.rejects(EmbeddedDirectory.open(where), { name: 'DirectoryRefusal', message: /record\/main/ })
})
