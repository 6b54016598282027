/**
 * A cluster of several hosts on this machine, made of network namespaces: `scripts/lab --help`. Everything of it is below
 * one folder, `--folder`, and `down` leaves nothing behind.
 */
import { resolve } from 'node:path'
import { Command, InvalidArgumentError, Option } from 'commander'
import { Lab } from './network-lab/lab.ts'
import { type DirectoryKind, directories } from './network-lab/plan.ts'

const standardFolder = '/tmp/banyan-lab'
const serversMax = 9
const clientsMax = 3

const lab = new Command('scripts/lab')
  .enablePositionalOptions()
  .description('A cluster of several hosts on this machine, made of network namespaces. Needs root.')
  .option('--folder <dir>', 'where all of it is', standardFolder)
  .addHelpText(
    'after',
    [
      '\nHosts are a, b, c (file server, etcd and mount), x, y, z (mount only), and d (an embedded directory).',
      'Example:',
      '  scripts/lab up 3 --clients 1     three servers and a client',
      '  scripts/lab exec x sh            a shell on x; "banyan status" works in it, the tree is ./tree',
      '  scripts/lab cut a b --one-way    nothing that a sends arrives at b',
      '  scripts/lab kill a               a loses power; "scripts/lab start a" switches it on again',
      '  scripts/lab down                 ends all of it',
    ].join('\n'),
  )

const open = (): Lab => Lab.open(resolve(lab.opts<{ folder: string }>().folder))

lab
  .command('up')
  .description('Make a lab and start all its hosts.')
  .argument('<servers>', 'how many hosts with a file server', upTo(serversMax, 1))
  .option('--clients <n>', 'how many hosts that only mount', upTo(clientsMax, 0), 0)
  .addOption(
    new Option('--directory <kind>', 'an etcd of all servers, or in a host of its own, d')
      .choices(directories)
      .default('managed' satisfies DirectoryKind),
  )
  .action(async (servers: number, { clients, directory }: { clients: number; directory: DirectoryKind }) => {
    const made = await Lab.make(resolve(lab.opts<{ folder: string }>().folder), { servers, clients, directory })
    await made.startAll()
    await show(made)
  })
lab
  .command('status')
  .description('Show the hosts, what is wrong with the network, and what banyan says.')
  .action(async () => show(open()))
lab
  .command('exec')
  .description('Run a command on a host, in its folder.')
  .argument('<host>')
  .argument('<command...>')
  .passThroughOptions()
  .action(async (host: string, command: readonly string[]) => {
    process.exitCode = await open().interact(host, command)
  })
lab
  .command('cut')
  .description('Cut one link, or, with one host, all links of that.')
  .argument('<from>')
  .argument('[to]')
  .option('--one-way', 'only what <from> sends is lost')
  .action(async (from: string, to: string | undefined, { oneWay = false }: { oneWay?: boolean }) => {
    await (to === undefined ? open().isolate(from) : open().cut(from, to, { oneWay }))
  })
lab
  .command('loss')
  .description('Lose so much of what goes over one link; 0: nothing.')
  .argument('<from>')
  .argument('<to>')
  .argument('<percent>', 'of all packets', upTo(100, 0))
  .option('--one-way', 'only what <from> sends is lost')
  .action(async (from: string, to: string, percent: number, { oneWay = false }: { oneWay?: boolean }) => {
    await open().lose(from, to, percent, { oneWay })
  })
lab
  .command('heal')
  .description('Make all links good again.')
  .action(() => open().heal())
lab
  .command('kill')
  .description('Cut the power of a host: its link and all its processes at once.')
  .argument('<host>')
  .action((host: string) => open().kill(host))
lab
  .command('start')
  .description('Start a host that was killed or stopped.')
  .argument('<host>')
  .action((host: string) => open().start(host))
lab
  .command('stop')
  .description('Stop a host in order.')
  .argument('<host>')
  .action((host: string) => open().stop(host))
lab
  .command('down')
  .description('End all of it. Nothing is left.')
  .action(() => open().down())

async function show(shown: Lab): Promise<void> {
  for (const { address, kind, name } of shown.hosts) {
    console.log(`${name}  ${address.padEnd(12)} ${kind.padEnd(10)} ${shown.isRunning(name) ? 'runs' : 'is down'}`)
  }
  for (const { from, lossPercent, to } of shown.faults) console.log(`${from} to ${to}: ${lossPercent} % is lost`)
  const [asked] = shown.servers.filter((name) => shown.isRunning(name))
  if (asked === undefined) return
  const { stderr, stdout } = await shown.banyan(asked, ['status'], { limitMs: 30_000 })
  console.log(`\nAs ${asked} sees it:\n${stdout}${stderr}`)
}

function upTo(most: number, least: number): (text: string) => number {
  return (text) => {
    const value = Number(text)
    if (Number.isInteger(value) && value >= least && value <= most) return value
    throw new InvalidArgumentError(`It must be a number from ${least} to ${most}.`)
  }
}

try {
  await lab.parseAsync()
} catch (error) {
  console.error(`lab: ${error instanceof Error ? error.message : String(error)}`)
  process.exitCode = 1
}
process.exit()
