import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { GrpcTransport } from '../../fs-driver/router/grpc-transport.ts'
import { createRouter, type Router } from '../../fs-driver/router/router.ts'
import type { Advert } from '../../proto/advert.ts'
import type { Caller } from '../../proto/generated/file-service.ts'
import { type Incarnation, type NodeId, nodeId } from '../../proto/ids.ts'
import { standardTiming, type Timing } from '../../replication/ports.ts'
import { newRecord, type OnPartition } from '../../replication/record.ts'
import { type Directory, DirectoryUnavailable } from '../../server/directory/directory.ts'
import { EmbeddedDirectory } from '../../server/directory/embedded.ts'
import { type RunningServer, startServer } from '../../server/server.ts'
import { waitFor } from '../fixtures/wait.ts'

export const root: Caller = { uid: 0, gid: 0, groups: [], pid: 1 }
const volume = 'cluster'

export interface ClusterOptions {
  readonly sessionTimeoutMs?: number
  readonly partitionAfterMs?: number
  readonly onPartition?: OnPartition
}

/** Several file servers, their directory and routers, all in this process, on sockets in a temporary folder. */
export class Cluster {
  readonly directory: EmbeddedDirectory
  readonly folder: string
  readonly events: string[] = []
  readonly fatal: unknown[] = []
  readonly #timing: Timing
  readonly #options: ClusterOptions
  readonly #servers = new Map<NodeId, RunningServer>()
  readonly #routers: Router[] = []
  readonly #adverts = new Map<NodeId, Advert>()
  #starts = 0
  /** Servers get no answer from the directory, and hear nothing of it. */
  directoryAway = false

  private constructor(folder: string, directory: EmbeddedDirectory, timing: Timing, options: ClusterOptions) {
    this.folder = folder
    this.directory = directory
    this.#timing = timing
    this.#options = options
    directory.watch(volume, {
      record: () => {},
      death: () => {},
      providers: (adverts) => {
        this.#adverts.clear()
        for (const advert of adverts) this.#adverts.set(advert.node, advert)
      },
    })
  }

  static async start(
    names: readonly string[],
    timing: Timing = standardTiming,
    options: ClusterOptions = {},
  ): Promise<Cluster> {
    const folder = mkdtempSync(path.join(tmpdir(), 'banyan-server-'))
    const directory = await EmbeddedDirectory.open(path.join(folder, 'directory'))
    const cluster = new Cluster(folder, directory, timing, options)
    await directory.createRecord(volume, newRecord(names.map(nodeId), 1, options.onPartition))
    await Promise.all(names.map((name) => cluster.startServer(name)))
    await cluster.primary()
    return cluster
  }

  async startServer(name: string): Promise<void> {
    const node = nodeId(name)
    const server = await startServer({
      node,
      incarnation: `${name}-${++this.#starts}` as Incarnation,
      volume,
      directory: this.#asServersReachIt(),
      socket: path.join(this.folder, `${name}.sock`),
      storeOf: (of) => path.join(this.folder, of === volume ? name : `${name}@${of}`),
      host: 'here',
      timing: this.#timing,
      ...this.#options,
      log: (event, fields) => {
        const line = `${name} ${event} ${JSON.stringify(fields, text)}`
        this.events.push(line)
        if (process.env['BANYAN_TEST_LOG'] !== undefined) console.error(line)
      },
      onFatal: (error) => this.fatal.push(error),
    })
    this.#servers.set(node, server)
  }

  #asServersReachIt(): Directory {
    const { directory } = this
    const reached = <T>(ask: () => Promise<T>): Promise<T> =>
      this.directoryAway ? Promise.reject(new DirectoryUnavailable('it is away')) : ask()
    return {
      readRecord: (...asked) => reached(() => directory.readRecord(...asked)),
      readRecords: () => reached(() => directory.readRecords()),
      createRecord: (...asked) => reached(() => directory.createRecord(...asked)),
      swapRecord: (...asked) => reached(() => directory.swapRecord(...asked)),
      attestDeath: (...asked) => reached(() => directory.attestDeath(...asked)),
      watchRecords: (onChange) =>
        directory.watchRecords((records) => (this.directoryAway ? undefined : onChange(records))),
      advertise: (...asked) => directory.advertise(...asked),
      watch: (name, watcher) =>
        directory.watch(name, {
          record: (versioned) => (this.directoryAway ? undefined : watcher.record(versioned)),
          death: (...dead) => (this.directoryAway ? undefined : watcher.death(...dead)),
          providers: (adverts) => (this.directoryAway ? undefined : watcher.providers(adverts)),
        }),
    }
  }

  /** A clean stop. */
  async stopServer(name: string): Promise<void> {
    const server = this.#servers.get(nodeId(name))
    this.#servers.delete(nodeId(name))
    await server?.close()
  }

  router(
    options: {
      readonly pinned?: string
      readonly path?: string
      readonly volume?: string
      readonly isOpen?: (ino: bigint) => boolean
    } = {},
  ): Router {
    const of = options.volume ?? volume
    const router = createRouter({
      providers: {
        watch: (onChange) => this.directory.watch(of, { record() {}, death() {}, providers: onChange }),
      },
      transport: new GrpcTransport(undefined, options.volume),
      host: 'here',
      path: options.path ?? '/mnt',
      isOpen: options.isOpen ?? (() => false),
      slotFile: path.join(this.folder, `slots-${this.#routers.length}`),
      ...(options.pinned !== undefined && { pinned: nodeId(options.pinned) }),
    })
    this.#routers.push(router)
    return router
  }

  address(name: string): string {
    return `unix:${path.join(this.folder, `${name}.sock`)}`
  }

  primary(): Promise<NodeId> {
    return waitFor(
      () => [...this.#adverts.values()].find(({ role, node }) => role === 'primary' && this.#servers.has(node))?.node,
      { what: 'a primary', limitMs: 20_000, everyMs: 10 },
    )
  }

  /** Waits until the record has so many members in sync. */
  async inSync(count: number): Promise<void> {
    await waitFor(
      async () => ((await this.directory.readRecord(volume))?.record.inSync.length === count ? true : undefined),
      { what: `${count} members in sync`, limitMs: 30_000, everyMs: 20 },
    )
  }

  async close(): Promise<void> {
    await Promise.all(this.#routers.map((router) => router.close()))
    await Promise.all([...this.#servers.keys()].map((name) => this.stopServer(name)))
    await this.directory.close()
    rmSync(this.folder, { recursive: true, force: true })
  }
}

const text = (_key: string, value: unknown): unknown => (typeof value === 'bigint' ? String(value) : value)

let calls = 0n

/** A call with a name of its own, as the only one of its request. */
export async function call(
  router: Router,
  operation: Parameters<Router['call']>[0],
  caller: Caller = root,
): ReturnType<Router['call']> {
  const unique = ++calls
  try {
    return await router.call(operation, caller, { unique, step: 0 })
  } finally {
    router.answered(unique)
  }
}
