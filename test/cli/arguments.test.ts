import { mkdtempSync, rmSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import t from 'tap'
import { program } from '../../cli/banyan.ts'
import { checkout } from '../fixtures/program.ts'
import { type Ran, run } from '../fixtures/run.ts'

t.setTimeout(120_000)

const folder = mkdtempSync(path.join(os.tmpdir(), 'banyan-arguments-'))
t.teardown(() => rmSync(folder, { recursive: true, force: true }))

const ran = (...args: string[]): Promise<Ran> =>
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
  ['run --config /nowhere/banyan.toml', 1, /there is no \/nowhere\/banyan.toml.*docs\/banyan.toml is an example/],
  ['cert node alpha --folder /nowhere', 1, /there is no authority in \/nowhere.*banyan cert authority/],
  ['cert node Alpha --folder /nowhere', 1, /a node is named with a-z/],
  ['up --state /dev/null/x --mount /tmp', 1, /cannot (make the state folder|read) \/dev\/null\/x/],
]

for (const [args, code, says] of wrong) {
  void t.test(`banyan ${args.replace(folder, 'DIR')}: one line on stderr, exit ${code}`, async (t) => {
    const { code: exit, stdout, stderr } = await ran(...args.split(' '))
    t.equal(exit, code)
    t.equal(stdout, '')
    t.match(stderr, says)
    t.match(stderr, /^banyan: [^\n]+\n$/)
  })
}

void t.test(
  'every command has a help with an example, takes --state, and prints JSON where it prints data',
  async (t) => {
    const banyan = program()
    const commands = banyan.commands.flatMap((command) => (command.commands.length > 0 ? command.commands : [command]))
    const groups = banyan.commands.filter((command) => command.commands.length > 0)
    const names = commands.map(
      (command) => (groups.includes(command.parent ?? banyan) ? `${command.parent?.name()} ` : '') + command.name(),
    )
    const about = ['up', 'down', 'run', 'serve', 'mount', 'server start', 'server stop', 'status', 'resync', 'verify']
    about.push(
      'volume create',
      'volume attach',
      'volume list',
      'volume set',
      'volume add-mirror',
      'volume remove-mirror',
    )
    about.push('node list', 'node drain', 'node remove')
    const shown = [...about, 'cert authority', 'cert node']
    t.same(names.filter((name) => name !== 'file-server' && name !== 'drive').sort(), shown.sort())
    for (const name of shown) {
      const { code, stdout, stderr } = await ran(...name.split(' '), '--help')
      t.equal(code, 0, name)
      t.equal(stderr, '')
      t.equal(/--state <dir>/.test(stdout), about.includes(name), name)
      t.equal(/--config <file>/.test(stdout), about.includes(name) && name !== 'up', name)
      t.match(stdout, new RegExp(`Example:\n  banyan ${name}`), name)
      t.equal(
        /--json/.test(stdout),
        ['status', 'resync', 'verify', 'volume list', 'node list'].includes(name),
        `${name} and --json`,
      )
    }
  },
)

void t.test('what only processes call is in no help', async (t) => {
  const { stdout } = await ran('--help')
  t.notMatch(stdout, /\bfile-server\b|\bdrive\b/)
})
