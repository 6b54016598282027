import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { makeAuthority, makeNodeCertificate } from '../../cli/commands/cert.ts'
import { checkout } from '../../test/fixtures/program.ts'
import { mustRun, type Ran, type RunOptions, run } from '../../test/fixtures/run.ts'
import { memoryOf, mountsBelow } from '../../test/fixtures/sweep.ts'
import { Hopeless, waitFor } from '../../test/fixtures/wait.ts'
import { applyFaults, inNamespace, makeNetwork, nsenter, processesIn, setLink } from './namespaces.ts'
import {
  type DirectoryKind,
  directoryHost,
  type LabHost,
  newHosts,
  type Plan,
  readPlan,
  withFault,
  writePlan,
} from './plan.ts'

export interface LabOptions {
  readonly servers: number
  readonly clients?: number
  /** Standard: managed. */
  readonly directory?: DirectoryKind
  /** Do hosts with a file server mount the tree as well? Standard: yes. */
  readonly serversMount?: boolean
}

const program = join(checkout, 'build/cli/banyan.js')
/** Starting node, a store and a mount on a busy machine. */
const startLimitMs = 60_000
const endLimitMs = 40_000

/**
 * A cluster of several hosts on this machine: each is a namespace of the network, with its own state, configuration,
 * certificate and mount point below one folder. Its links can be cut and made bad, its processes killed.
 */
export class Lab {
  readonly folder: string
  #plan: Plan

  private constructor(folder: string, plan: Plan) {
    this.folder = folder
    this.#plan = plan
  }

  /** Makes the network and the files, in a folder that is empty or not there; starts nothing. */
  static async make(
    folder: string,
    { clients = 0, directory = 'managed', servers, serversMount = true }: LabOptions,
  ): Promise<Lab> {
    if (existsSync(join(folder, 'lab.json'))) throw new Error(`there is a lab in ${folder}: "scripts/lab down" ends it`)
    mkdirSync(join(folder, 'net'), { recursive: true })
    const hosts = newHosts({ servers, clients, serversMount, directory })
    writePlan(folder, { directory, hosts, faults: [] })
    const lab = new Lab(folder, readPlan(folder))
    await makeNetwork(folder, hosts)
    makeAuthority({ folder: join(folder, 'authority') })
    for (const host of hosts) lab.#writeHost(host)
    return lab
  }

  /** @throws Error when there is none */
  static open(folder: string): Lab {
    return new Lab(folder, readPlan(folder))
  }

  get hosts(): readonly LabHost[] {
    return this.#plan.hosts
  }

  get faults(): Plan['faults'] {
    return this.#plan.faults
  }

  get servers(): readonly string[] {
    return this.hosts.filter(({ kind }) => kind === 'server').map(({ name }) => name)
  }

  place(name: string, file = ''): string {
    return join(this.folder, this.#host(name).name, file)
  }

  /** Where the tree is mounted on that host. */
  tree(name: string): string {
    return this.place(name, 'tree')
  }

  isRunning(name: string): boolean {
    return processesIn(this.folder, this.#host(name).name).length > 0
  }

  /** Starts every host; resolves when all servers are in sync. `under`: see `start`, by host. */
  async startAll(under: Readonly<Record<string, readonly string[]>> = {}): Promise<void> {
    await Promise.all(this.hosts.map(({ name }) => this.start(name, under[name])))
    await this.inSync()
  }

  /** Until every server is in sync, as whoever runs sees it. */
  async inSync(limitMs = startLimitMs): Promise<void> {
    const asked = this.hosts.find(({ kind, name }) => kind !== 'directory' && this.isRunning(name))
    if (asked === undefined) throw new Error('no host runs')
    const resynced = async (): Promise<Ran> => await this.mustBanyan(asked.name, ['resync'])
    await waitFor(resynced, { what: 'every server to be in sync', limitMs, everyMs: 300 })
  }

  /**
   * Starts what the host's configuration says; resolves when it runs and, where that is wanted, the tree is mounted.
   * `under`: a program with its arguments that runs all of the host's processes, for instance with another clock.
   */
  async start(name: string, under: readonly string[] = []): Promise<void> {
    const host = this.#host(name)
    if (this.isRunning(name)) throw new Error(`${name} runs already`)
    for (const mount of mountsBelow(this.place(name))) await mustRun('umount', ['-l', mount])
    await setLink(this.folder, name, 'up')
    const child = this.spawn(
      name,
      [...under, process.execPath, program, 'run', '--config', this.place(name, 'banyan.toml')],
      'run.out',
    )
    const ready = (): true | undefined => {
      if (child.exitCode !== null || child.signalCode !== null) {
        throw new Hopeless(`${name} has ended: ${readFileSync(this.place(name, 'run.out'), 'utf8').slice(-1000)}`)
      }
      if (!host.mounts) return existsSync(this.place(name, 'state/run/up.sock')) || undefined
      return mountsBelow(this.tree(name)).length > 0 || undefined
    }
    await waitFor(ready, { what: `${name} to have started`, limitMs: startLimitMs })
    child.unref()
  }

  /** SIGTERM to its supervisor, which ends all the rest. */
  async stop(name: string): Promise<void> {
    if (!this.isRunning(name)) return
    await this.mustBanyan(name, ['down'], { limitMs: endLimitMs })
    await waitFor(() => !this.isRunning(name) || undefined, { what: `${name} to end`, limitMs: endLimitMs })
  }

  /** As when its power is cut: nothing more leaves it, no goodbye either, and all its processes are gone. */
  async kill(name: string): Promise<void> {
    await setLink(this.folder, this.#host(name).name, 'down')
    await this.#killAll(name)
    for (const mount of mountsBelow(this.place(name))) await mustRun('umount', ['-l', mount])
    for (const memory of memoryOf(this.place(name))) rmSync(memory, { recursive: true, force: true })
  }

  /** Nothing that `from` sends arrives at `to`, nor, unless it is one-way, the other way. */
  async cut(from: string, to: string, how: { readonly oneWay?: boolean } = {}): Promise<void> {
    await this.lose(from, to, 100, how)
  }

  /** So much of what `from` sends to `to` is lost, and the other way unless it is one-way. 0: nothing. */
  async lose(
    from: string,
    to: string,
    lossPercent: number,
    { oneWay = false }: { readonly oneWay?: boolean } = {},
  ): Promise<void> {
    const [a, b] = [this.#host(from).name, this.#host(to).name]
    if (a === b) throw new Error('a host always reaches itself: name two')
    const one = withFault(this.#plan.faults, { from: a, to: b, lossPercent })
    await this.#setFaults(oneWay ? one : withFault(one, { from: b, to: a, lossPercent }))
  }

  /** From all others: with `but`, except from those. */
  async isolate(name: string, { but = [] }: { readonly but?: readonly string[] } = {}): Promise<void> {
    for (const other of this.hosts) {
      if (other.name !== name && !but.includes(other.name)) await this.cut(name, other.name)
    }
  }

  /** Every link is as it should be. Hosts that were killed stay as they are. */
  async heal(): Promise<void> {
    await this.#setFaults([])
  }

  /** A command on that host, to its end. */
  exec(name: string, command: readonly string[], options: RunOptions = {}): Promise<Ran> {
    const args = inNamespace(this.folder, this.#host(name).name, command)
    const PATH = `${this.place(name, 'bin')}:${process.env['PATH']}`
    return run(nsenter, args, { cwd: this.place(name), ...options, env: { PATH, ...options.env } })
  }

  /** A command on that host with this terminal. @returns its exit code */
  interact(name: string, command: readonly string[]): Promise<number> {
    const args = inNamespace(this.folder, this.#host(name).name, command)
    const PATH = `${this.place(name, 'bin')}:${process.env['PATH']}`
    const child = spawn(nsenter, args, { cwd: this.place(name), stdio: 'inherit', env: { ...process.env, PATH } })
    return new Promise((resolve, reject) => {
      child.on('error', reject)
      child.on('exit', (code) => resolve(code ?? 1))
    })
  }

  /** A command on that host that goes on by itself; what it says goes to a file of the host's folder. */
  spawn(name: string, command: readonly string[], output: string): ChildProcess {
    const args = inNamespace(this.folder, this.#host(name).name, command)
    const file = openSync(this.place(name, output), 'a')
    const child = spawn(nsenter, args, { cwd: this.place(name), detached: true, stdio: ['ignore', file, file] })
    closeSync(file)
    return child
  }

  /** `banyan ARGS` about that host. */
  banyan(name: string, args: readonly string[], options: RunOptions = {}): Promise<Ran> {
    return this.exec(name, [process.execPath, program, ...args, '--config', this.place(name, 'banyan.toml')], options)
  }

  /** The same; it has to succeed. */
  async mustBanyan(name: string, args: readonly string[], options: RunOptions = {}): Promise<Ran> {
    const ran = await this.banyan(name, args, options)
    if (ran.code === 0) return ran
    throw new Error(`${name}: banyan ${args.join(' ')}: exit ${ran.code ?? ran.signal}: ${ran.stderr}${ran.stdout}`)
  }

  /** Ends everything that runs in it and leaves nothing behind, whatever state it is in. */
  async down(): Promise<void> {
    for (const { name } of this.hosts) await this.#killAll(name)
    for (const mount of mountsBelow(this.folder)) await mustRun('umount', ['-l', mount])
    for (const memory of memoryOf(this.folder)) rmSync(memory, { recursive: true, force: true })
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 50 })
  }

  async #setFaults(faults: Plan['faults']): Promise<void> {
    this.#plan = { ...this.#plan, faults }
    writePlan(this.folder, this.#plan)
    await applyFaults(this.folder, this.hosts, faults)
  }

  /** Again and again: one may start another between our looking and its end. */
  async #killAll(name: string): Promise<void> {
    const none = (): true | undefined => {
      const pids = processesIn(this.folder, name)
      for (const pid of pids) {
        try {
          process.kill(pid, 'SIGKILL')
        } catch {
          // It has ended meanwhile.
        }
      }
      return pids.length === 0 || undefined
    }
    await waitFor(none, { what: `all processes of ${name} to end`, limitMs: endLimitMs, everyMs: 10 })
  }

  #host(name: string): LabHost {
    const host = this.hosts.find((one) => one.name === name)
    if (host !== undefined) return host
    throw new Error(`there is no host ${name}: name one of ${this.hosts.map((one) => one.name).join(', ')}`)
  }

  #writeHost(host: LabHost): void {
    const { name } = host
    for (const folder of ['bin', 'tree']) mkdirSync(this.place(name, folder), { recursive: true })
    const authority = join(this.folder, 'authority')
    makeNodeCertificate({ folder: authority, name, addresses: [host.address] })
    writeFileSync(this.place(name, 'banyan.toml'), this.#configuration(host))
    const script = `#!/bin/sh\nexec ${process.execPath} ${program} "$@" --config ${this.place(name, 'banyan.toml')}\n`
    writeFileSync(this.place(name, 'bin/banyan'), script, { mode: 0o755 })
  }

  #configuration({ kind, mounts, name }: LabHost): string {
    const reachable = this.hosts.filter((host) => host.kind !== 'client')
    return [
      ...['[node]', `name = "${name}"`, `state = "${this.place(name, 'state')}"`, `serve = ${kind === 'server'}`],
      ...['[hosts]', ...reachable.map((host) => `${host.name} = "${host.address}"`)],
      ...['[directory]', this.#plan.directory === 'managed' ? 'etcd = "managed"' : `embedded = "${directoryHost}"`],
      ...['[tls]', `folder = "${join(this.folder, 'authority')}"`],
      ...['[volumes.main]', `mirrors = ${JSON.stringify(this.servers)}`],
      ...(!mounts ? [] : ['[[mounts]]', `path = "${this.tree(name)}"`]),
      '',
    ].join('\n')
  }
}
