import { rmSync } from 'node:fs'
import { Server } from '@grpc/grpc-js'
import type { Advert } from '../../proto/advert.ts'
import {
  ControlServiceService,
  type MountState,
  type ServerState,
  type StateReply,
} from '../../proto/generated/control-service.ts'
import { DirectoryServiceService } from '../../proto/generated/directory-service.ts'
import type { Incarnation, NodeId } from '../../proto/ids.ts'
import type { Versioned } from '../../replication/record.ts'
import { type Directory, DirectoryUnavailable } from '../../server/directory/directory.ts'
import { directoryService } from '../../server/directory/service.ts'
import { diskFullExit } from '../../server/exit-code.ts'
import { type Listener, listenAt, peersAt } from '../../server/rpc/listener.ts'
import { Failure, oneLine } from '../failure.ts'
import type { Host } from '../host.ts'
import type { Log } from '../log.ts'
import { volumeName } from '../volume.ts'
import { type Control, controlService } from './control.ts'
import { Mounts } from './mounts.ts'
import { ServerKeeper } from './server-keeper.ts'
import { Signal } from './signal.ts'

/** From its start until a server offers itself: it opens its store and redoes its journal first. */
const serveLimitMs = 45_000
/** For mirrors to follow a primary that there is already. */
const settleLimitMs = 3_000

/** Between two attempts to attest a death to a directory that is away. */
const attestAgainMs = 500

export interface UpOptions {
  readonly host: Host
  readonly log: Log
  /** Closed with this. */
  readonly directory: Directory & { close(): void | Promise<void> }
  /** The directory is this process's: other processes reach it on our socket, and other hosts at these. */
  readonly offersDirectory: { readonly listeners: readonly Listener[] } | undefined
  /** Whose processes are kept here. */
  readonly servers: readonly NodeId[]
  /** A machine alone: whoever becomes a mirror has its process here, too. */
  readonly everyMember?: true
  /** Servers that end by themselves are started again. One whose disk was full is in any case: it may have room by then. */
  readonly restart: () => boolean
  /** Ends this whole `up`, the mount included. Called by `banyan down`; must not throw. */
  readonly onDown: () => Promise<void>
}

/**
 * The supervisor of one machine: control socket, file servers, and the directory where that is here. Holds no data and serves no file: when it is
 * killed, servers and mounts go on, and the next `up` with the same state folder takes them over.
 */
export class Up implements Control {
  readonly mounts = new Mounts()
  readonly #options: UpOptions
  readonly #keepers: Map<string, ServerKeeper>
  /** Of members that were taken out. */
  readonly #leaving = new Set<Promise<void>>()
  readonly #grpc: Server[] = []
  readonly #changed = new Signal()
  #adverts: readonly Advert[] = []
  #stopping = false
  /** Deaths that wait for the end of `stop`: see there. */
  readonly #unattested: (readonly [NodeId, Incarnation])[] = []

  private constructor(options: UpOptions) {
    this.#options = options
    this.#keepers = new Map(options.servers.map((node) => [node, this.#newKeeper(node)]))
    this.mounts.onChange(() => this.#changed.fire())
  }

  /** Opens the sockets, and starts the servers that do not run. @throws Failure; then all is closed again */
  static async start(options: UpOptions): Promise<Up> {
    const up = new Up(options)
    try {
      await up.#listen()
      up.#watch()
      for (const keeper of up.#keepers.values()) if (!keeper.adopt()) keeper.start()
      return up
    } catch (error) {
      await up.stop()
      await up.close()
      throw error
    }
  }

  /** Resolves when somebody is primary. `onSlow` is called once if that takes long. @throws Failure if nobody can be. */
  async serving(onSlow: () => void): Promise<void> {
    const timer = setTimeout(onSlow, serveLimitMs)
    try {
      await this.#changed.until(() => {
        if (this.#adverts.some((advert) => advert.role === 'primary')) return true
        const keepers = [...this.#keepers.values()]
        if (keepers.some((keeper) => keeper.phase === 'running')) return false
        throw new Failure(
          `no file server runs: ${keepers.map((keeper) => `${keeper.node} ${keeper.reason}`).join(', ')}`,
          {
            meaning: 'The tree cannot be served',
            remedy: `Look at ${this.#options.host.state.log(keepers[0]?.node ?? 'up')}`,
          },
        )
      })
    } finally {
      clearTimeout(timer)
    }
  }

  /** Resolves when every server that runs has a role, or soon in any case: the volume is served without them. */
  async settled(): Promise<void> {
    const settled = this.#changed.until(() => {
      const roles = this.roles()
      return [...this.#keepers.values()].every(
        ({ node, phase }) => phase !== 'running' || (roles.get(node) ?? 'none') !== 'none',
      )
    }, settleLimitMs)
    await settled.catch(() => {})
  }

  /** Resolves when that process has registered its mount; false when `gaveUp` says that it never will. */
  async mounted(pid: () => number | undefined): Promise<boolean> {
    let result = false
    await this.#changed.until(() => {
      const wanted = pid()
      result = this.mounts.list().some((mount) => mount.pid === wanted)
      return result || wanted === undefined
    })
    return result
  }

  /** To be called when something that `mounted` asks about has changed. */
  poke(): void {
    this.#changed.fire()
  }

  state(): StateReply {
    return {
      pid: process.pid,
      volume: volumeName,
      servers: [...this.#keepers.values()].map((keeper) => serverState(keeper)),
      mounts: this.mounts.list().map((mount) => ({ ...mount, provider: '' })),
    }
  }

  /** The role that each server says it has. */
  roles(): ReadonlyMap<string, Advert['role']> {
    return new Map(this.#adverts.map((advert) => [advert.node, advert.role]))
  }

  async startServer(name: string): Promise<ServerState> {
    const keeper = this.#keeper(name)
    if (keeper.phase === 'running') {
      throw new Failure(`${name} runs already (process ${keeper.pid})`, { meaning: 'Nothing was changed' })
    }
    const incarnation = keeper.start()
    const began = performance.now()
    await this.#changed.until(
      () => {
        if (keeper.incarnation === incarnation)
          return this.#adverts.some((advert) => advert.incarnation === incarnation)
        throw new Failure(`${name} ${keeper.reason || 'was stopped'}`, {
          meaning: 'It does not serve',
          remedy: `Look at ${this.#options.host.state.log(name)}`,
        })
      },
      serveLimitMs,
      () => {
        const seconds = ((performance.now() - began) / 1000).toFixed(0)
        return new Failure(`${name} does not serve ${seconds} s after its start`, {
          meaning: 'It still runs, and may come to it',
          remedy: `Look at ${this.#options.host.state.log(name)}`,
        })
      },
    )
    return serverState(keeper)
  }

  async stopServer(name: string): Promise<ServerState> {
    const keeper = this.#keeper(name)
    await keeper.stop()
    return serverState(keeper)
  }

  async down(): Promise<void> {
    await this.#options.onDown()
  }

  addMount(mount: MountState): { close(): void } {
    return this.mounts.add({ path: mount.path, pid: mount.pid })
  }

  /**
   * Stops all servers, then the directory. Deaths are attested when the last one has ended: told at once, each death would
   * put a member out of the set, and the next start would begin with a resync that nobody needs.
   */
  async stop(): Promise<void> {
    this.#stopping = true
    await Promise.all([...this.#leaving, ...[...this.#keepers.values()].map((keeper) => keeper.stop())])
    for (const [node, incarnation] of this.#unattested) {
      await this.#options.directory.attestDeath(node, incarnation).catch((error: unknown) => {
        this.#options.log.error('death.unattested', { node, incarnation, error }) // its lease is waited for, then
      })
    }
  }

  /** After `stop`, and after whoever asked for it has its answer. */
  async close(): Promise<void> {
    await Promise.all(this.#grpc.map(shutDown))
    rmSync(this.#options.host.state.socket('up'), { force: true })
    await this.#options.directory.close()
  }

  async #listen(): Promise<void> {
    const { directory, host, offersDirectory } = this.#options
    const own: Listener = { kind: 'unix', socket: host.state.socket('up') }
    for (const listener of [own, ...(offersDirectory?.listeners ?? [])]) {
      const server = new Server()
      this.#grpc.push(server)
      if (listener === own) server.addService(ControlServiceService, controlService(this))
      if (offersDirectory !== undefined) {
        server.addService(DirectoryServiceService, directoryService(directory, { peerOf: peersAt(listener) }))
      }
      await listenAt(server, listener).catch((error: unknown) => {
        const where = listener.kind === 'unix' ? listener.socket : listener.address
        throw new Failure(`cannot listen on ${where}: ${oneLine(error)}`, {
          meaning: 'Nothing was started',
          remedy: 'See who uses it ("ss -lp"), or whether it is an address of this host',
          cause: error,
        })
      })
    }
  }

  #watch(): void {
    const versions = new Map<string, number>()
    this.#options.directory.watchRecords((records) => {
      for (const [volume, { record, version }] of records) {
        if (versions.get(volume) === version) continue
        versions.set(volume, version)
        this.#options.log.info('record.changed', { volume, version, ...record })
      }
      if (this.#options.everyMember && !this.#stopping) this.#keepMembers([...records.values()])
    })
    this.#options.directory.watch(volumeName, {
      record: () => {},
      death: () => {},
      providers: (adverts) => {
        this.#adverts = adverts
        this.#changed.fire()
      },
    })
  }

  #newKeeper(node: NodeId): ServerKeeper {
    const { host, log } = this.#options
    const onEnd = (ended: NodeId, incarnation: Incarnation): void => this.#onEnd(ended, incarnation)
    const restart = (exitCode: number | undefined): boolean =>
      !this.#stopping && this.#keepers.has(node) && (exitCode === diskFullExit || this.#options.restart())
    return new ServerKeeper({ node, host, log, onEnd, restart })
  }

  /** A new mirror gets a process; one that was taken out, and that nobody needs any more, loses it. */
  #keepMembers(all: readonly Versioned[]): void {
    const needed = new Set(all.flatMap(({ record }) => [...record.members, ...record.inSync]))
    for (const node of all.flatMap(({ record }) => record.members)) {
      if (this.#keepers.has(node)) continue
      const keeper = this.#newKeeper(node)
      this.#keepers.set(node, keeper)
      if (!keeper.adopt()) keeper.start()
    }
    for (const [name, keeper] of this.#keepers) {
      if (needed.has(keeper.node)) continue
      this.#keepers.delete(name)
      const stopped = keeper.stop().finally(() => this.#leaving.delete(stopped))
      this.#leaving.add(stopped)
    }
    this.#changed.fire()
  }

  #onEnd(node: NodeId, incarnation: Incarnation): void {
    this.#changed.fire()
    if (this.#stopping) {
      this.#unattested.push([node, incarnation])
      return
    }
    void this.#attest(node, incarnation)
  }

  /** Until the directory has heard it: it is away at times. */
  async #attest(node: NodeId, incarnation: Incarnation): Promise<void> {
    const { directory, log } = this.#options
    for (;;) {
      try {
        return await directory.attestDeath(node, incarnation)
      } catch (error) {
        log.error('death.unattested', { node, incarnation, error })
        if (this.#stopping || !(error instanceof DirectoryUnavailable)) return
      }
      await new Promise((resolve) => setTimeout(resolve, attestAgainMs))
    }
  }

  #keeper(name: string): ServerKeeper {
    const keeper = this.#keepers.get(name)
    if (keeper !== undefined && !this.#stopping) return keeper
    if (this.#stopping) throw new Failure('this "banyan up" is ending', { meaning: 'Nothing was changed' })
    throw new Failure(`there is no server ${name}`, {
      meaning: 'Nothing was changed',
      remedy: `Name one of ${[...this.#keepers.keys()].join(', ')}`,
    })
  }
}

function shutDown(server: Server): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => server.forceShutdown(), 500)
    server.tryShutdown(() => {
      clearTimeout(timer)
      resolve()
    })
  })
}

function serverState(keeper: ServerKeeper): ServerState {
  return {
    name: keeper.node,
    state: keeper.phase,
    pid: keeper.pid ?? 0,
    incarnation: keeper.incarnation ?? '',
    address: keeper.address,
    reason: keeper.reason,
  }
}
