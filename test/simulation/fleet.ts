import { type NodeId, nodeId } from '../../proto/ids.ts'
import { checkAcknowledged, checkLinearizable, checkMembersEqual } from './checks.ts'
import { Client } from './client.ts'
import { type FleetFault, FleetFaults } from './fleet-faults.ts'
import { FleetTraffic, type TrafficReport } from './fleet-traffic.ts'
import { calmDirectory, calmNetwork, type Profile } from './mixes.ts'
import { SimNetwork } from './network.ts'
import { Prng } from './random.ts'
import { Timeline } from './timeline.ts'
import { Violation } from './violation.ts'
import { World } from './world.ts'

export interface FleetOptions {
  readonly seed: number
  readonly hosts: number
  readonly volumes: number
  readonly clients: number
  /** So many faults, one after the other; 0: nothing happens for `quietMs`. */
  readonly faults: number
  /** Mean time between two faults: some begin while another lasts. */
  readonly betweenMs: number
  readonly quietMs: number
}

export interface FleetReport {
  readonly violation: Violation | undefined
  readonly faults: ReadonlyMap<FleetFault, number>
  readonly events: ReadonlyMap<string, number>
  readonly operations: number
  readonly losses: number
  readonly virtualMs: number
  /** From the last fault until every volume was in sync again. */
  readonly healedMs: number
  readonly traffic: TrafficReport
}

const membersEach = 3
const healMs = 60_000
/** Before anything is counted: every volume gets its first primary. */
const settleMs = 3000

/** Clients of a large cluster do little each; what they do is checked like everything else. */
const profile: Profile = {
  members: membersEach,
  minInSync: 1,
  clients: 0,
  lengthMs: 0,
  drift: 0.02,
  network: calmNetwork,
  directory: { delayMs: 1, jitterMs: 5, loss: 0.01, late: 0.01, stale: 0.05 },
  storage: { keepEntries: 1000, foldMax: 1000, keepPayloads: 1000, flushMs: 5, readMs: 1 },
  client: {
    slots: 1,
    readShare: 0.45,
    flushShare: 0.02,
    renewShare: 0.002,
    thinkMs: 500,
    forgetful: 0.5,
    caches: 0.1,
    freezeMs: 20_000,
  },
  holds: 0,
}

/** Many volumes on many hosts, of which each has its own clients: what happens to a host happens to all that it has. */
export class Fleet {
  readonly #options: FleetOptions
  readonly #timeline = new Timeline()
  readonly #network: SimNetwork
  readonly #worlds: readonly World[]
  readonly #clients: readonly Client[]
  readonly #faults: FleetFaults
  readonly #traffic: FleetTraffic

  constructor(options: FleetOptions) {
    const { seed, hosts, volumes, clients } = options
    this.#options = options
    this.#network = new SimNetwork(this.#timeline, new Prng(seed, 'network'), profile.network)
    const nodes = Array.from({ length: hosts }, (_, i) => nodeId(`h${i + 1}`))
    const places = new Prng(seed, 'places')
    this.#worlds = Array.from({ length: volumes }, (_, i) => {
      const users = Array.from({ length: Math.ceil((clients - i) / volumes) }, (_, n) => `v${i + 1}c${n + 1}`)
      return this.#newWorld(seed * 1000 + i, places.shuffled(nodes).slice(0, membersEach), users)
    })
    this.#clients = this.#worlds.flatMap((world) => newClients(world))
    const how = { timeline: this.#timeline, network: this.#network, worlds: this.#worlds, nodes }
    this.#faults = new FleetFaults({ ...how, random: new Prng(seed, 'faults') })
    this.#traffic = new FleetTraffic(this.#worlds, options)
  }

  run(): FleetReport {
    let violation: Violation | undefined
    let healedMs = 0
    try {
      this.#until(this.#timeline.now + settleMs, () => false)
      this.#traffic.begin(this.#timeline.now)
      this.#suffer()
      healedMs = this.#recover()
      for (const world of this.#worlds) judge(world)
    } catch (error) {
      if (!(error instanceof Violation)) throw error
      violation = error
    }
    const events = new Map<string, number>()
    for (const world of this.#worlds)
      for (const [event, count] of world.events) events.set(event, (events.get(event) ?? 0) + count)
    return {
      violation,
      faults: this.#faults.counts,
      events,
      operations: sum(this.#worlds, ({ history }) => history.filter((done) => done.result !== undefined).length),
      losses: sum(this.#worlds, ({ oracle }) => oracle.losses.length),
      virtualMs: this.#timeline.now,
      healedMs,
      traffic: this.#traffic.report(),
    }
  }

  #suffer(): void {
    const { faults, betweenMs, quietMs } = this.#options
    this.#faults.begin(faults, betweenMs)
    this.#until(Number.POSITIVE_INFINITY, () => {
      return faults === 0 ? this.#traffic.countedMs >= quietMs : this.#faults.areOver
    })
    this.#traffic.end()
    this.#faults.heal()
    for (const world of this.#worlds) world.directory.profile = calmDirectory
  }

  #recover(): number {
    const healedAt = this.#timeline.now
    this.#timeline.after(500, () => {
      for (const world of this.#worlds) world.isEnding = true
    })
    const isWell = (): boolean => {
      for (const world of this.#worlds) world.operator.restore()
      if (!this.#worlds.every((world) => world.isEnding && world.isInSync())) return false
      return this.#clients.every((client) => client.idle)
    }
    if (!this.#until(healedAt + healMs, isWell)) {
      const ill = this.#worlds.filter((world) => !world.isInSync()).map(({ directory }) => directory.current)
      throw new Violation('liveness', 'R36, R41', `not well ${healMs} ms after the last fault: ${JSON.stringify(ill)}`)
    }
    return this.#timeline.now - healedAt
  }

  #until(end: number, look: () => boolean): boolean {
    const [world] = this.#worlds
    if (world === undefined) throw new RangeError('a fleet has volumes')
    return world.runUntil(end, () => {
      this.#traffic.look(this.#timeline.now)
      return look()
    })
  }

  #newWorld(seed: number, nodes: readonly NodeId[], clients: readonly string[]): World {
    const fleet = { timeline: this.#timeline, network: this.#network, nodes, clients }
    const world = new World({ seed, profile, attested: 0.8, trace: 'off', fleet })
    for (const host of world.hosts) world.revive(host)
    return world
  }
}

function newClients(world: World): Client[] {
  const clients = world.clients.map((name) => {
    const random = world.stream(`${name} cache`)
    const rate = 1 + random.between(-profile.drift, profile.drift)
    return new Client(name, world, world.stream(name), profile.client, { rate, random, holder: undefined })
  })
  world.oracle.watch(clients)
  return clients
}

function judge({ hosts, history, oracle }: World): void {
  checkMembersEqual(hosts, oracle)
  checkAcknowledged(history, oracle)
  checkLinearizable(history, oracle)
}

function sum<T>(all: readonly T[], of: (one: T) => number): number {
  return all.reduce((total, one) => total + of(one), 0)
}
