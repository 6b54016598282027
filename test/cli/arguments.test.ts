import { mkdtempSync, rmSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import t from 'tap'
import { program } from '../../cli/banyan.ts'
import { checkout } from '../fixtures/program.ts'
import { type Ran, run } from '../fixtures/run.ts'

const folder = mkdtempSync(path.join(os.tmpdir(), 'banyan-arguments-'))
t.teardown(() => rmSync(folder, { recursive: true, force: true }))

const banyan = (...args: string[]): Promise<Ran> =>
  run(process.execPath, [path.join(checkout, 'build/cli/banyan.js'), ...args], { limitMs: 30_000 })

const wrong: readonly (readonly [args: string, code: number, says: RegExp])[] = [
  ['dance', 2, /unknown command 'dance'/],
  ['up --mirrors 0', 2, /a number from 1 to 9/],
  ['up --mirrors three', 2, /a number from 1 to 9/],
  ['status --colour', 2, /unknown option '--colour'/],
  ['mount', 2, /missing required argument 'dir'/],
  ['server start', 2, /missing required argument 'name'/],
  ['down now', 2, /too many arguments/],
  [`status --state ${folder}`, 1, /no "banyan up" runs with the state folder .*Start it with "banyan up --state/],
  [`down --state ${folder}`, 1, /no "banyan up" runs/],
  [`resync --state ${folder}`, 1, /no "banyan up" runs/],
  [`verify --state ${folder}`, 1, /no "banyan up" runs/],
  [`server stop s1 --state ${folder}`, 1, /no "banyan up" runs/],
  ['up --state /dev/null/x --mount /tmp', 1, /cannot (make the state folder|read) \/dev\/null\/x/],
]

for (const [args, code, says] of wrong) {
  void t.test(`banyan ${args.replace(folder, 'DIR')}: one line on stderr, exit ${code}`, async (t) => {
    const ran = await banyan(...args.split(' '))
    t.equal(ran.code, code)
    t.equal(ran.stdout, '')
    t.match(ran.stderr, says)
    t.match(ran.stderr, /^banyan: [^\n]+\n$/)
  })
}

void t.test(
  'every command has a help with an example, takes --state, and prints JSON where it prints data',
  async (t) => {
    const commands = program().commands.flatMap((command) =>
      command.commands.length > 0 ? command.commands : [command],
    )
    const names = commands.map((command) => `${command.parent?.name() === 'server' ? 'server ' : ''}${command.name()}`)
    const shown = ['up', 'down', 'mount', 'server start', 'server stop', 'status', 'resync', 'verify']
    t.same(names.filter((name) => name !== 'serve' && name !== 'drive').sort(), shown.sort())
    for (const name of shown) {
      const { code, stdout, stderr } = await banyan(...name.split(' '), '--help')
      t.equal(code, 0, name)
      t.equal(stderr, '')
      t.match(stdout, /--state <dir>/, name)
      t.match(stdout, new RegExp(`Example:\n  banyan ${name}`), name)
      t.equal(/--json/.test(stdout), ['status', 'resync', 'verify'].includes(name), `${name} and --json`)
    }
  },
)

void t.test('what only processes call is in no help', async (t) => {
  const { stdout } = await banyan('--help')
  t.notMatch(stdout, /\bserve\b|\bdrive\b/)
})
