import type { ReplicaStatus } from '../../replication/status.ts'
import type { World } from './world.ts'

/** How the directory on etcd is used (server/directory/etcd): of each member of a volume, unless something else is said. */
const keepAlivesPerSecond = 2
/** Ranges that the watch of a volume follows: its record, its adverts, the deaths of all processes. */
const rangesEach = 3
/** Watches of all records: a server process, and the supervisor of its host. */
const recordWatchersPerHost = 2

/** Of the whole cluster. */
export interface TrafficReport {
  readonly seconds: number
  readonly standing: {
    /** Of adverts; ranges that are watched; on average, in a second. */
    readonly leases: number
    readonly watches: number
    readonly keepAlivesPerSecond: number
  }
  /** So often in all this time. */
  readonly happened: {
    /** Changes of records, whoever won. */
    readonly swaps: number
    readonly reads: number
    /** Writes of adverts, since a role has changed or a process has begun; and of attested deaths. */
    readonly advertWrites: number
    readonly deathWrites: number
    /** What etcd sends to those who watch, as the three kinds of changes are watched. */
    readonly recordEvents: number
    readonly advertEvents: number
    readonly deathEvents: number
  }
}

/** Counts what a fleet would ask of etcd. */
export class FleetTraffic {
  readonly #worlds: readonly World[]
  readonly #hosts: number
  readonly #clients: number
  readonly #roles = new Map<object, ReplicaStatus['role']>()
  readonly #deaths = new Set<string>()
  #sums = { keepAlives: 0, advertWrites: 0, advertEvents: 0, deathWrites: 0 }
  #beganAt: number | undefined
  #lookedAt = 0
  #before = { swaps: 0, reads: 0 }
  #wonBefore = 0
  #after = { swaps: 0, reads: 0, won: 0 }
  #isOver = false

  constructor(worlds: readonly World[], { hosts, clients }: { readonly hosts: number; readonly clients: number }) {
    this.#worlds = worlds
    this.#hosts = hosts
    this.#clients = clients
  }

  begin(now: number): void {
    this.look(now)
    this.#sums = { keepAlives: 0, advertWrites: 0, advertEvents: 0, deathWrites: 0 }
    this.#beganAt = now
    this.#lookedAt = now
    this.#before = this.#asked()
    this.#wonBefore = this.#won()
  }

  get countedMs(): number {
    return this.#beganAt === undefined ? 0 : this.#lookedAt - this.#beganAt
  }

  end(): void {
    this.#after = { ...this.#asked(), won: this.#won() }
    this.#isOver = true
  }

  look(now: number): void {
    if (this.#isOver) return
    const ms = now - this.#lookedAt
    this.#lookedAt = now
    for (const { hosts, clients, attestedDeaths } of this.#worlds) {
      for (const { process } of hosts) {
        if (process === undefined) continue
        this.#sums.keepAlives += (keepAlivesPerSecond * ms) / 1000
        const { role } = process.replica
        if (this.#roles.get(process) === role) continue
        this.#roles.set(process, role)
        this.#sums.advertWrites += 1
        this.#sums.advertEvents += hosts.length + clients.length
      }
      // One process of a host serves all its volumes: it dies once.
      for (const [node, incarnation] of attestedDeaths) this.#died(`${node} ${incarnation.split('#')[1]}`)
    }
  }

  report(): TrafficReport {
    const seconds = this.countedMs / 1000
    const { swaps, reads, won } = this.#after
    const members = this.#worlds.reduce((sum, { hosts }) => sum + hosts.length, 0)
    const watchers = members + this.#clients
    // A record's change goes to who watches that volume, and to who watches all; a death to who watches any.
    const each = (watchers + this.#worlds.length * recordWatchersPerHost * this.#hosts) / this.#worlds.length
    const { keepAlives, advertWrites, advertEvents, deathWrites } = this.#sums
    return {
      seconds,
      standing: {
        leases: members,
        watches: rangesEach * watchers + recordWatchersPerHost * this.#hosts,
        keepAlivesPerSecond: keepAlives / seconds,
      },
      happened: {
        swaps: swaps - this.#before.swaps,
        reads: reads - this.#before.reads,
        advertWrites,
        deathWrites,
        recordEvents: (won - this.#wonBefore) * each,
        advertEvents,
        deathEvents: deathWrites * watchers,
      },
    }
  }

  #died(process: string): void {
    if (this.#deaths.has(process)) return
    this.#deaths.add(process)
    this.#sums.deathWrites += 1
  }

  #asked(): { swaps: number; reads: number } {
    const sums = { swaps: 0, reads: 0 }
    for (const { directory } of this.#worlds) {
      sums.swaps += directory.traffic.swaps
      sums.reads += directory.traffic.reads
    }
    return sums
  }

  /** Versions that came to be. */
  #won(): number {
    return this.#worlds.reduce((sum, { directory }) => sum + directory.current.version, 0)
  }
}
