import { chmodSync, rmSync } from 'node:fs'
import { Server, ServerCredentials } from '@grpc/grpc-js'
import type { Advert } from '../../proto/advert.ts'
import {
  ControlServiceService,
  type MountState,
  type ServerState,
  type StateReply,
} from '../../proto/generated/control-service.ts'
import { DirectoryServiceService } from '../../proto/generated/directory-service.ts'
import { type Incarnation, type NodeId, nodeId } from '../../proto/ids.ts'
import { newRecord } from '../../replication/record.ts'
import { DirectoryUnavailable } from '../../server/directory/directory.ts'
import { EmbeddedDirectory } from '../../server/directory/embedded.ts'
import { directoryService } from '../../server/directory/service.ts'
import { Failure } from '../failure.ts'
import type { Log } from '../log.ts'
import type { StateFolder } from '../state-folder.ts'
import { volumeName } from '../volume.ts'
import { type Control, controlService } from './control.ts'
import { Mounts } from './mounts.ts'
import { ServerKeeper } from './server-keeper.ts'
import { Signal } from './signal.ts'

/** From its start until a server offers itself: it opens its store and redoes its journal first. */
const serveLimitMs = 45_000
/** For mirrors to follow a primary that there is already. */
const settleLimitMs = 3_000

export interface UpOptions {
  readonly state: StateFolder
  readonly log: Log
  /** For a volume that does not exist yet; must agree with one that does. */
  readonly mirrors: number | undefined
  readonly restart: () => boolean
  /** Ends this whole `up`, the mount included. Called by `banyan down`; must not throw. */
  readonly onDown: () => Promise<void>
}

/** How many members a new volume gets. */
export const mirrorsStandard = 3

/**
 * The directory, the control socket and the file servers of one machine. Holds no data and serves no file: when it is
 * killed, servers and mounts go on, and the next `up` with the same state folder takes them over.
 */
export class Up implements Control {
  readonly mounts = new Mounts()
  readonly #options: UpOptions
  readonly #directory: EmbeddedDirectory
  readonly #keepers: ReadonlyMap<string, ServerKeeper>
  readonly #server = new Server()
  readonly #changed = new Signal()
  #adverts: readonly Advert[] = []
  #stopping = false
  /** Deaths that wait for the end of `stop`: see there. */
  readonly #unattested: (readonly [NodeId, Incarnation])[] = []

  private constructor(options: UpOptions, directory: EmbeddedDirectory, members: readonly NodeId[]) {
    this.#options = options
    this.#directory = directory
    const { state, log } = options
    const onEnd = (node: NodeId, incarnation: Incarnation): void => this.#onEnd(node, incarnation)
    const restart = (): boolean => !this.#stopping && options.restart()
    this.#keepers = new Map(members.map((node) => [node, new ServerKeeper({ node, state, log, onEnd, restart })]))
    this.mounts.onChange(() => this.#changed.fire())
  }

  /** Opens the directory and the socket, and starts the servers that do not run. @throws Failure */
  static async start(options: UpOptions): Promise<Up> {
    const directory = await openDirectory(options.state)
    let up: Up | undefined
    try {
      up = new Up(options, directory, await members(directory, options))
      await up.#listen()
      up.#watch()
      for (const keeper of up.#keepers.values()) if (!keeper.adopt()) keeper.start()
      return up
    } catch (error) {
      if (up === undefined) await directory.close()
      else await up.stop().then(() => up?.close())
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
            remedy: `Look at ${this.#options.state.log(keepers[0]?.node ?? 'up')}`,
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
          remedy: `Look at ${this.#options.state.log(name)}`,
        })
      },
      serveLimitMs,
      () => {
        const seconds = ((performance.now() - began) / 1000).toFixed(0)
        return new Failure(`${name} does not serve ${seconds} s after its start`, {
          meaning: 'It still runs, and may come to it',
          remedy: `Look at ${this.#options.state.log(name)}`,
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
    await Promise.all([...this.#keepers.values()].map((keeper) => keeper.stop()))
    for (const [node, incarnation] of this.#unattested) await this.#directory.attestDeath(node, incarnation)
  }

  /** After `stop`, and after whoever asked for it has its answer. */
  async close(): Promise<void> {
    await new Promise<void>((resolve) => {
      const timer = setTimeout(() => this.#server.forceShutdown(), 500)
      this.#server.tryShutdown(() => {
        clearTimeout(timer)
        resolve()
      })
    })
    rmSync(this.#options.state.socket('up'), { force: true })
    await this.#directory.close()
  }

  async #listen(): Promise<void> {
    const file = this.#options.state.socket('up')
    rmSync(file, { force: true }) // the directory is open here and nowhere else, so nobody listens on it
    this.#server.addService(DirectoryServiceService, directoryService(this.#directory))
    this.#server.addService(ControlServiceService, controlService(this))
    await new Promise<void>((resolve, reject) => {
      this.#server.bindAsync(`unix:${file}`, ServerCredentials.createInsecure(), (error) =>
        error === null
          ? resolve()
          : reject(new Failure(`cannot listen on ${file}: ${error.message}`, { cause: error })),
      )
    })
    chmodSync(file, 0o600)
  }

  #watch(): void {
    this.#directory.watch(volumeName, {
      record: ({ version, record }) => this.#options.log.info('record.changed', { version, ...record }),
      death: () => {},
      providers: (adverts) => {
        this.#adverts = adverts
        this.#changed.fire()
      },
    })
  }

  #onEnd(node: NodeId, incarnation: Incarnation): void {
    this.#changed.fire()
    if (this.#stopping) {
      this.#unattested.push([node, incarnation])
      return
    }
    this.#directory
      .attestDeath(node, incarnation)
      .catch((error: unknown) => this.#options.log.error('death.unattested', { node, incarnation, error }))
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

/** The directory's lock is what makes this the only `up` of its state folder. @throws Failure */
async function openDirectory(state: StateFolder): Promise<EmbeddedDirectory> {
  try {
    return await EmbeddedDirectory.open(state.directory)
  } catch (error) {
    if (error instanceof DirectoryUnavailable) {
      throw new Failure(`"banyan up" runs already with the state folder ${state.root}`, {
        meaning: 'Nothing was started',
        remedy: `See it with "banyan status", end it with "banyan down", or choose another --state DIR`,
        cause: error,
      })
    }
    throw new Failure(error instanceof Error ? error.message : String(error), {
      meaning: 'Without it nobody knows who is primary, so nothing was started',
      remedy: 'Restore it from a copy',
      cause: error,
    })
  }
}

/** Of the volume as it is, or of a new one. */
async function members(directory: EmbeddedDirectory, options: UpOptions): Promise<readonly NodeId[]> {
  const wanted = options.mirrors ?? mirrorsStandard
  const names = Array.from({ length: wanted }, (_, index) => nodeId(`s${index + 1}`))
  const { record } = await directory.createRecord(volumeName, newRecord(names))
  if (options.mirrors !== undefined && record.members.length !== options.mirrors) {
    throw new Failure(
      `the volume in ${options.state.root} has ${record.members.length} mirrors, not ${options.mirrors}`,
      {
        meaning: 'Their number cannot be changed yet, so nothing was started',
        remedy: 'Leave --mirrors out, or choose another --state DIR',
      },
    )
  }
  return record.members
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
