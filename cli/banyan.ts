import { realpathSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { Command, CommanderError, InvalidArgumentError, Option } from 'commander'
import { Failure, oneLine } from './failure.ts'
import type { Place } from './host.ts'
import { type MountDriver, mountDrivers } from './mount-driver.ts'

/** Each further mirror is one more acknowledgement in every change. */
const mirrorsMax = 9
/** sysexits.h EX_USAGE would be 64; shells' own programs say 2. */
const usageExit = 2

interface UpOptions extends Pick<Place, 'state'> {
  readonly mirrors?: number
  readonly mount?: string
  readonly driver: MountDriver
  readonly restart?: true
  readonly detach?: true
}

/** Modules are loaded by the command that needs them: `status` should not wait for what `serve` uses. */
export function program(): Command {
  const banyan = new Command('banyan')
    .description('One directory tree on mirrored file servers, mounted like a local disk.')
    .addHelpText('after', example('banyan up', 'starts three mirrored servers here and mounts the tree at /cluster'))
    .showHelpAfterError(false)
    .configureOutput({ outputError: () => {} })
    .exitOverride()
  addUp(banyan)
  addHost(banyan)
  addMount(banyan)
  addServers(banyan)
  addLooking(banyan)
  addVolumes(banyan)
  addNodes(banyan)
  addProcesses(banyan)
  return banyan
}

function addUp(banyan: Command): void {
  bare(banyan, 'up', 'Start the file servers of this machine and mount the tree. Ctrl-C unmounts and stops them.')
    .option('--state <dir>', 'the state folder: same folder, same cluster (default: ~/.banyan)')
    .option('--mirrors <n>', 'how many mirrors a new volume has (default: 3)', mirrors)
    .option('--mount <dir>', 'where to mount (default: mount.path of config.toml, or /cluster)')
    .addOption(driverOption())
    .option('--restart', 'start a server again when it ends by itself')
    .option('--detach', 'go on in the background; "banyan down" ends it')
    .addHelpText('after', example('banyan up --mirrors 3 --mount /cluster', 'runs until Ctrl-C'))
    .action(async (options: UpOptions) => {
      const { up } = await import('./commands/up.ts')
      const { state, mirrors, mount, driver, restart = false, detach = false } = options
      await up({ ...(state === undefined ? {} : { state }), mirrors, mount, driver, restart, detach })
    })
  command(banyan, 'down', 'Unmount and stop what "banyan up" started.')
    .addHelpText('after', example('banyan down', 'ends the "banyan up" of the standard state folder'))
    .action(async (options: Place) => {
      const { down } = await import('./commands/server.ts')
      await down(options)
    })
}

/** One of several hosts, as its configuration says. */
function addHost(banyan: Command): void {
  command(banyan, 'run', 'Run what the configuration of this host says: its file server and its mounts.')
    .addHelpText('after', example('banyan run --config /etc/banyan/banyan.toml', 'runs until Ctrl-C or SIGTERM'))
    .action(async (options: Place) => {
      const { run } = await import('./commands/run.ts')
      await run({ ...options, mounts: true })
    })
  command(banyan, 'serve', 'Run the file server of this host, without its mounts.')
    .addHelpText('after', example('banyan serve', 'runs until Ctrl-C or SIGTERM'))
    .action(async (options: Place) => {
      const { run } = await import('./commands/run.ts')
      await run({ ...options, mounts: false })
    })
  const cert = banyan
    .command('cert')
    .description('Make the certificates with which the hosts of a cluster know each other.')
    .addHelpText('after', example('banyan cert authority', 'once for a cluster, then "banyan cert node" for each host'))
  bare(cert, 'authority', 'Make the authority of a cluster: its certificate, and the key that makes hosts.')
    .option('--folder <dir>', 'where to write', '/etc/banyan')
    .addHelpText(
      'after',
      example('banyan cert authority --folder ~/authority', 'writes authority.crt and authority.key'),
    )
    .action(async (options: { folder: string }) => {
      const { makeAuthority } = await import('./commands/cert.ts')
      console.log(makeAuthority(options))
    })
  bare(cert, 'node <name>', 'Make the certificate and key of one host, signed by the authority in the same folder.')
    .option('--folder <dir>', 'where the authority is, and where to write', '/etc/banyan')
    .option('--address <address>', 'an address of it; may be given again', collected, [])
    .addHelpText('after', example('banyan cert node alpha --address 10.0.0.1', 'writes alpha.crt and alpha.key'))
    .action(async (name: string, { folder, address }: { folder: string; address: readonly string[] }) => {
      const { makeNodeCertificate } = await import('./commands/cert.ts')
      console.log(makeNodeCertificate({ folder, name, addresses: address }))
    })
}

const collected = (one: string, all: readonly string[]): readonly string[] => [...all, one]

interface MountFlags {
  readonly provider?: string
  readonly driver: MountDriver
  readonly readOnly?: true
}

function addMount(banyan: Command): void {
  command(banyan, 'mount <dir>', 'Mount the same tree once more, as another host would. Ctrl-C or umount ends it.')
    .option('--provider <name>', 'use this server only (default: the nearest that works)')
    .option('--read-only', 'nothing can be changed through it (EROFS)')
    .addOption(driverOption())
    .addOption(new Option('--mark <mark>').hideHelp())
    .addOption(new Option('--lifeline <file>').hideHelp())
    .addHelpText('after', example('banyan mount /mnt/second --provider s2', 'a mount that asks s2 only'))
    .action(async (dir: string, options: Place & MountFlags & { mark?: string; lifeline?: string }) => {
      const { mount } = await import('./commands/mount.ts')
      const { provider, driver, readOnly = false, mark, lifeline, ...place } = options
      await mount({ ...place, dir, provider, driver, readOnly, mark, lifeline })
    })
}

function addServers(banyan: Command): void {
  const server = banyan
    .command('server')
    .description('Start or stop one file server.')
    .addHelpText('after', example('banyan server start s2', 'starts s2 again after it was stopped or has died'))
  command(server, 'start <name>', 'Start a file server that is stopped or has died; it gets in sync by itself.')
    .addHelpText('after', example('banyan server start s2', 'returns when s2 offers itself again'))
    .action(async (name: string, options: Place) => {
      const { startServer } = await import('./commands/server.ts')
      await startServer({ ...options, name })
    })
  command(server, 'stop <name>', 'Stop a file server; the others go on.')
    .addHelpText('after', example('banyan server stop s2', 'returns when its process has ended'))
    .action(async (name: string, options: Place) => {
      const { stopServer } = await import('./commands/server.ts')
      await stopServer({ ...options, name })
    })
}

function addLooking(banyan: Command): void {
  command(banyan, 'status', 'Show who mirrors what, who is primary, who is behind, and what needs attention.')
    .option('--json', 'print JSON')
    .addHelpText('after', example('banyan status', 'what needs attention stands first'))
    .action(async (options: Place & { json?: true }) => {
      const { status } = await import('./commands/status.ts')
      await status({ json: false, ...options })
    })
  command(banyan, 'resync [volume]', 'Bring members back in sync that missed something, and show how far it is.')
    .option('--full', 'compare everything, whatever the journals say')
    .option('--member <name>', 'this member only')
    .option('--json', 'print a line of JSON for each step')
    .addHelpText('after', example('banyan resync --full --member s2', 'compares all of s2 with the primary'))
    .action(async (volume: string | undefined, options: Place & { full?: true; member?: string; json?: true }) => {
      const { resync } = await import('./commands/resync.ts')
      await resync({ full: false, json: false, ...options, volume, member: options.member })
    })
  command(
    banyan,
    'verify [volume]',
    'Compare all mirrors at one position, metadata and data; exit 1 if anything differs.',
  )
    .option('--repair', 'fetch what differs from the majority; exit 0 if all of it was mended')
    .option('--json', 'print JSON')
    .addHelpText('after', example('banyan verify --repair', 'names what differs, and mends it'))
    .action(async (volume: string | undefined, options: Place & { repair?: true; json?: true }) => {
      const { verify } = await import('./commands/verify.ts')
      process.exitCode = await verify({ repair: false, json: false, ...options, volume })
    })
}

function addVolumes(banyan: Command): void {
  const volume = banyan
    .command('volume')
    .description('Make and show volumes, say what they want, and who mirrors them.')
    .addHelpText('after', example('banyan volume list', 'mirrors, primary and settings of each volume'))
  command(volume, 'create <volume>', 'Make a volume, and attach it in the tree: every mount shows it at once.')
    .requiredOption('--mirrors <nodes>', 'who mirrors it: names of servers, with commas between')
    .option('--at <path>', 'where the tree has it, for ever (default: /VOLUME)')
    .addHelpText('after', example('banyan volume create work --mirrors s1,s2', 'a volume at /work, on two servers'))
    .action(async (name: string, options: Place & { mirrors: string; at?: string }) => {
      const { createVolume } = await import('./commands/create-volume.ts')
      await createVolume({ ...options, volume: name })
    })
  command(volume, 'attach <volume>', 'Give a volume that has none a place in the tree.')
    .option('--at <path>', 'where the tree has it, for ever (default: /VOLUME)')
    .addHelpText('after', example('banyan volume attach work --at /projects', 'every mount shows it at once'))
    .action(async (name: string, options: Place & { at?: string }) => {
      const { attachVolume } = await import('./commands/create-volume.ts')
      await attachVolume({ ...options, volume: name })
    })
  command(volume, 'list', 'Show all volumes: who leads, who mirrors, and what is set.')
    .option('--json', 'print JSON')
    .addHelpText('after', example('banyan volume list --json', 'for programs'))
    .action(async (options: Place & { json?: true }) => {
      const { listVolumes } = await import('./commands/volume.ts')
      await listVolumes({ json: false, ...options })
    })
  command(volume, 'set <volume> <settings...>', 'Change min-in-sync=N or on-partition=stop|read, at once.')
    .addHelpText('after', example('banyan volume set main min-in-sync=2', 'nothing is accepted by one mirror alone'))
    .action(async (name: string, settings: readonly string[], options: Place) => {
      const { setVolume } = await import('./commands/volume.ts')
      await setVolume({ ...options, volume: name, settings })
    })
  command(volume, 'add-mirror <volume> <node>', 'Make a node mirror a volume; it is filled while the volume is in use.')
    .addHelpText('after', example('banyan volume add-mirror main delta', 'then "banyan resync" shows how far it is'))
    .action(async (name: string, node: string, options: Place) => {
      const { addMirror } = await import('./commands/volume.ts')
      await addMirror({ ...options, volume: name, node })
    })
  command(volume, 'remove-mirror <volume> <node>', 'Take a mirror out, as soon as the others can do without it.')
    .addHelpText('after', example('banyan volume remove-mirror main delta', 'returns when nobody needs it any more'))
    .action(async (name: string, node: string, options: Place) => {
      const { removeMirror } = await import('./commands/volume.ts')
      await removeMirror({ ...options, volume: name, node })
    })
}

function addNodes(banyan: Command): void {
  const node = banyan
    .command('node')
    .description('Show nodes, and get one out of the way.')
    .addHelpText('after', example('banyan node drain beta', 'before beta is restarted'))
  command(node, 'list', 'Show all nodes: what they lead and mirror.')
    .option('--json', 'print JSON')
    .addHelpText('after', example('banyan node list', 'which server runs, leads, is drained'))
    .action(async (options: Place & { json?: true }) => {
      const { listNodes } = await import('./commands/node.ts')
      await listNodes({ json: false, ...options })
    })
  command(node, 'drain <node>', 'Let others lead and answer instead of a node; it stays a mirror, in sync.')
    .option('--end', 'it may lead and answer again')
    .addHelpText('after', example('banyan node drain beta', 'returns when beta leads nothing'))
    .action(async (name: string, options: Place & { end?: true }) => {
      const { drainNode } = await import('./commands/node.ts')
      await drainNode({ end: false, ...options, node: name })
    })
  command(node, 'remove <node>', 'Take a node out of all volumes, as soon as the others can do without it.')
    .addHelpText('after', example('banyan node remove beta', 'returns when nobody needs it any more'))
    .action(async (name: string, options: Place) => {
      const { removeNode } = await import('./commands/node.ts')
      await removeNode({ ...options, node: name })
    })
}

/** What `up` and `mount` start; not for people. */
function addProcesses(banyan: Command): void {
  located(banyan.command('file-server', { hidden: true }))
    .requiredOption('--name <name>')
    .requiredOption('--incarnation <text>')
    .action(async (options: Place & { name: string; incarnation: string }) => {
      const { fileServer } = await import('./commands/file-server.ts')
      await fileServer(options)
    })
  located(banyan.command('drive <dir>', { hidden: true }))
    .requiredOption('--owner <pid>')
    .option('--provider <name>')
    .option('--read-only')
    .addOption(driverOption())
    .action(async (dir: string, options: Place & MountFlags & { owner: string }) => {
      const { drive } = await import('./commands/drive.ts')
      const { provider, driver, owner, readOnly = false, ...place } = options
      await drive({ ...place, dir, provider, driver, readOnly, owner: Number(owner) })
    })
}

const driverOption = (): Option =>
  new Option('--driver <driver>', 'how to mount; fuse-native needs no root, and does less')
    .choices(mountDrivers)
    .default('plain' satisfies MountDriver)

function command(parent: Command, usage: string, description: string): Command {
  return located(bare(parent, usage, description))
}

function bare(parent: Command, usage: string, description: string): Command {
  return parent
    .command(usage)
    .description(description)
    .configureOutput({ outputError: () => {} })
    .exitOverride()
}

/** Which host a command is about. */
function located(command: Command): Command {
  return command
    .option('--state <dir>', 'the state folder of a machine alone (default: ~/.banyan)')
    .option('--config <file>', 'the configuration of one of several hosts (default: /etc/banyan/banyan.toml)')
}

const example = (line: string, does: string): string => `\nExample:\n  ${line}\n      ${does}`

function mirrors(text: string): number {
  const count = Number(text)
  if (Number.isInteger(count) && count >= 1 && count <= mirrorsMax) return count
  throw new InvalidArgumentError(`It must be a number from 1 to ${mirrorsMax}.`)
}

/** Runs one command. @returns the exit code */
export async function main(args: readonly string[]): Promise<number> {
  try {
    await program().parseAsync(args, { from: 'user' })
    return Number(process.exitCode ?? 0)
  } catch (error) {
    if (error instanceof CommanderError) {
      if (error.exitCode === 0) return 0 // help was asked for and given
      if (error.code === 'commander.help') return usageExit // and printed
      const said = oneLine(error).replace(/^error: /, '')
      console.error(`banyan: ${said.replace(/\.?$/, '.')} Nothing was done. See "banyan --help".`)
      return usageExit
    }
    console.error(`banyan: ${oneLine(error)}`)
    if (!(error instanceof Failure) && process.env['BANYAN_DEBUG'] !== undefined) console.error(error)
    return error instanceof Failure ? error.exitCode : 70 // EX_SOFTWARE of sysexits.h
  }
}

const isProgram = process.argv[1] !== undefined && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)

if (isProgram) process.exit(await main(process.argv.slice(2)))
