import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import t from 'tap'
import type { Log } from '../../cli/log.ts'
import { needsRestart, parseSettings, readSettings, standardSettings, stateSettings } from '../../cli/settings.ts'
import { watchSettings } from '../../cli/watch-settings.ts'
import { until } from '../server/directory/until.ts'

const file = '/state/config.toml'

void t.test('an empty or missing file gives the standard settings', async (t) => {
  t.same(parseSettings('', file), standardSettings)
  t.same(readSettings('/nowhere/config.toml'), standardSettings)
  t.equal(standardSettings.mount.path, '/cluster')
})

void t.test('what is set is taken, the rest is standard', async (t) => {
  const settings = parseSettings('[log]\nlevel = "debug"\n[servers]\nrestart = true\n', file)
  t.same(settings, { ...standardSettings, log: { level: 'debug' }, servers: { restart: true } })
})

const wrong: readonly (readonly [what: string, text: string, says: RegExp])[] = [
  ['no TOML', '[log]\nlevel = \n', /config\.toml:2: .*Correct line 2/],
  ['an unknown value', '# a comment\n[log]\nlevel = "loud"\n', /config\.toml:3: log\.level is not right: .*debug/],
  ['an unknown setting', '[log]\nlevel = "info"\ncolour = "red"\n', /config\.toml:3: log\.colour is no setting/],
  ['an unknown table', '\n[logs]\n', /config\.toml:2: logs is no setting/],
  [
    'a number out of range',
    '[mount]\npath="/x"\nunavailable_seconds = 0\n',
    /config\.toml:3: mount\.unavailable_seconds/,
  ],
  ['a dotted key', 'mount.path = "cluster"\n', /config\.toml:1: mount\.path/],
  ['a table that is a value', 'log = 5\n', /config\.toml:1: log is not right/],
]

for (const [what, text, says] of wrong) {
  void t.test(`${what} is refused in one line, with its place and what to do`, async (t) => {
    t.throws(() => parseSettings(text, file), { name: 'Failure', message: says })
    t.throws(() => parseSettings(text, file), { message: /^[^\n]+$/ })
  })
}

void t.test('which changes wait for the next start', async (t) => {
  const before = { 'mount.path': '/cluster', hosts: { alpha: '10.0.0.1' } }
  t.same(needsRestart(before, { ...before, 'mount.path': '/x' }), ['mount.path'])
  t.same(needsRestart(before, { ...before, hosts: {} }), ['hosts'])
  t.same(needsRestart({ ...before, 'mounts of /a': {} }, before), [], 'a mount that is gone is unmounted at once')
  t.same(needsRestart(before, structuredClone(before)), [])
})

void t.test('a running process takes a changed file over, and keeps what it has when the file is wrong', async (t) => {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'banyan-settings-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const where = path.join(folder, 'config.toml')
  const lines: string[] = []
  const note = (event: string, fields?: object): void => void lines.push(`${event} ${JSON.stringify(fields ?? {})}`)
  const log: Log = { error: note, info: note, debug: note }
  const levels: string[] = []
  const watch = watchSettings(stateSettings(where), log, (settings) => levels.push(settings.log.level))
  t.teardown(() => watch.close())
  await watch.ready
  writeFileSync(where, '[log]\nlevel = "debug"\n[mount]\npath = "/elsewhere"\n')
  await until('the new file', () => levels.at(-1) === 'debug')
  t.match(lines.at(-1), /settings\.read .*mount\.path/, 'says what waits for the next start')
  writeFileSync(where, '[log]\nlevel = "loud"\n')
  await until('the refusal', () => lines.some((line) => line.startsWith('settings.refused')))
  t.same(levels, ['debug'])
  writeFileSync(where, '[log]\nlevel = "error"\n')
  await until('the correction', () => levels.at(-1) === 'error')
  rmSync(where)
  await until('the standard', () => levels.at(-1) === 'info')
})
