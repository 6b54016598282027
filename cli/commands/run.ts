import type { NodeId } from '../../proto/ids.ts'
import { newRecord } from '../../replication/record.ts'
import type { Directory } from '../../server/directory/directory.ts'
import type { EmbeddedDirectory } from '../../server/directory/embedded.ts'
import type { Listener } from '../../server/rpc/listener.ts'
import type { HostConfig, MountConfig } from '../config/host-config.ts'
import { withControl } from '../control-client.ts'
import { EtcdKeeper } from '../etcd/etcd-keeper.ts'
import { managedEtcdOf } from '../etcd/of-host.ts'
import { Failure, oneLine } from '../failure.ts'
import { type Host, hostAt, type Member, type OpenDirectory, type Place } from '../host.ts'
import { openLog, type ProcessLog } from '../log.ts'
import { mustBeAbleToMount } from '../preflight.ts'
import type { Settings } from '../settings.ts'
import { prepareStateFolder } from '../state-folder.ts'
import { HostMounts } from '../up/host-mounts.ts'
import { openOwnDirectory, runsAlready } from '../up/own-directory.ts'
import { Up } from '../up/up.ts'
import { type SettingsWatch, watchSettings } from '../watch-settings.ts'

export interface RunCommand extends Place {
  /** Without it the file server alone, whatever mounts the configuration has. */
  readonly mounts: boolean
}

/** Between two attempts to make the record of a volume: the directory may come later than we. */
const createAgainMs = 1000

/** Resolves when everything has ended again, after a signal or `banyan down`. @throws Failure */
export async function run(command: RunCommand): Promise<void> {
  const host = hostAt(command)
  const { member } = host
  if (member === undefined) {
    throw new Failure(`there is no configuration of this host: /etc/banyan/banyan.toml is missing`, {
      meaning: 'Nothing was started',
      remedy: 'Write one (docs/banyan.toml is an example), name one with --config FILE, or try "banyan up"',
    })
  }
  const mounts = command.mounts ? member.config.mounts : undefined
  for (const mount of mounts ?? []) mustBeAbleToMount(mount.path, 'plain')
  prepareStateFolder(host.state)
  await mustBeOnly(host)
  const running = new HostRun(host, member, mounts)
  try {
    await running.start()
  } catch (error) {
    await running.end()
    await running.ended
    throw error
  }
  await running.ended
}

/** A host has one supervisor. One that is stopped counts: it may go on. @throws Failure */
async function mustBeOnly(host: Host): Promise<void> {
  const answers = await withControl(host, (control) => control.state()).then(
    () => true,
    (error: unknown) => !(error instanceof Failure && error.message.startsWith('no "')),
  )
  if (answers) throw runsAlready(host)
}

/** One run of a host's supervisor: its file server and its mounts. */
class HostRun {
  readonly ended: Promise<void>
  readonly #host: Host
  readonly #config: HostConfig
  readonly #member: Member
  readonly #log: ProcessLog
  readonly #mounts: HostMounts
  /** Of the configuration, as it was at the start; none for the file server alone. */
  readonly #firstMounts: readonly MountConfig[] | undefined
  /** This host's member of the directory, where the hosts keep one themselves. */
  readonly #etcd: EtcdKeeper | undefined
  #settings: Settings
  #watch: SettingsWatch | undefined
  #up: Up | undefined
  #ending: Promise<void> | undefined
  #onEnd: () => void = () => {}

  constructor(host: Host, member: Member, mounts: readonly MountConfig[] | undefined) {
    this.#host = host
    this.#member = member
    this.#config = member.config
    this.#settings = host.settings.read()
    this.#log = openLog(host.state.log('run'), 'run', this.#settings.log.level)
    this.#firstMounts = mounts
    this.#mounts = new HostMounts({ host, log: this.#log, restart: () => this.#settings.servers.restart })
    this.#etcd = this.#etcdKeeper()
    this.ended = new Promise((resolve) => {
      this.#onEnd = resolve
    })
  }

  /** @throws Failure; then `end` is to be called */
  async start(): Promise<void> {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => void this.end())
    this.#watch = watchSettings(this.#host.settings, this.#log, (next) => {
      this.#settings = next
      this.#log.setLevel(next.log.level)
      if (this.#firstMounts !== undefined) void this.#mounts.apply(this.#member.present().mounts)
    })
    this.#etcd?.start()
    const opened = await this.#openDirectory()
    const { node, serves } = this.#config
    this.#up = await Up.start({
      host: this.#host,
      log: this.#log,
      ...opened,
      servers: serves ? [node] : [],
      restart: () => this.#settings.servers.restart,
      onDown: () => this.end(),
    })
    void this.#createVolumes(opened.directory)
    await this.#mounts.start(this.#firstMounts ?? [])
    const does = [...(serves ? ['a file server'] : []), ...this.#mounts.directories.map((dir) => `a mount at ${dir}`)]
    this.#log.info('run.started', { node, does })
    console.log(`${node} runs ${does.join(' and ') || 'nothing but its supervisor'} (process ${process.pid}).`)
    console.log(`Look next at "banyan status${this.#host.flag}"; logs are in ${this.#host.state.root}/log.`)
  }

  /** Unmounts, stops the server, ends. May be called again meanwhile. Never rejects. */
  end(): Promise<void> {
    this.#ending ??= this.#end()
    return this.#ending
  }

  async #end(): Promise<void> {
    this.#log.info('run.ending')
    try {
      await this.#mounts.stop()
      await this.#up?.stop()
    } catch (error) {
      this.#log.error('run.ended-badly', { error })
      process.exitCode = 1
    }
    // Whoever asked for the end gets the answer on a connection that `close` ends, so that is not waited for.
    setImmediate(() => void this.#close())
  }

  async #close(): Promise<void> {
    await this.#up?.close()
    await this.#etcd?.stop()
    await this.#watch?.close()
    this.#log.info('run.ended')
    this.#onEnd()
  }

  async #openDirectory(): Promise<{
    readonly directory: OpenDirectory | EmbeddedDirectory
    readonly offersDirectory: { readonly listeners: readonly Listener[] } | undefined
  }> {
    const { directory, node } = this.#config
    if (directory.kind !== 'embedded' || directory.node !== node) {
      return { directory: await this.#host.openDirectory(), offersDirectory: undefined }
    }
    const own = await openOwnDirectory(this.#host)
    return { directory: own, offersDirectory: { listeners: [this.#member.listener(directory.address)] } }
  }

  /** Volumes that nobody has made yet come to be; of others the record counts, not our file. */
  async #createVolumes(directory: Directory): Promise<void> {
    for (const [volume, { mirrors }] of this.#config.volumes) await this.#createVolume(directory, volume, mirrors)
  }

  async #createVolume(directory: Directory, volume: string, mirrors: readonly NodeId[]): Promise<void> {
    while (this.#ending === undefined) {
      try {
        const { record } = await directory.createRecord(volume, newRecord(mirrors))
        if (record.members.join() !== mirrors.join()) {
          this.#log.info('volume.members-differ', { volume, inFile: mirrors, inDirectory: record.members })
        }
        return
      } catch (error) {
        this.#log.info('volume.not-looked-up', { volume, reason: oneLine(error) })
      }
      await new Promise((resolve) => setTimeout(resolve, createAgainMs))
    }
  }

  #etcdKeeper(): EtcdKeeper | undefined {
    const { directory, hosts, node } = this.#config
    if (directory.kind !== 'managed-etcd' || !hosts.has(node)) return undefined
    const { state } = this.#host
    const output = state.log('etcd').replace(/\.log$/, '.out')
    const etcd = managedEtcdOf(this.#config, { port: directory.port, state })
    return new EtcdKeeper({ etcd, run: state.run, output, log: this.#log })
  }
}
