import { checkAcknowledged, checkLinearizable, checkMembersEqual } from './checks.ts'
import { Client } from './client.ts'
import { Faults } from './faults.ts'
import {
  calmDirectory,
  calmNetwork,
  type Mix,
  type MixName,
  mixes,
  mixNames,
  type Profile,
  profileOf,
} from './mixes.ts'
import { Prng } from './random.ts'
import { Verifier } from './verifier.ts'
import { Violation } from './violation.ts'
import { World } from './world.ts'

export interface SimulationOptions {
  readonly seed: number
  /** What goes wrong; by default the seed says it. */
  readonly faults?: MixName
  readonly trace?: 'off' | 'hash' | 'lines'
  /** Settles what the seed would choose. */
  readonly profile?: Partial<Profile>
}

export interface Report {
  readonly seed: number
  readonly mix: MixName
  readonly violation: Violation | undefined
  readonly traceHash: string
  readonly trace: readonly string[]
  readonly events: ReadonlyMap<string, number>
  readonly virtualMs: number
  /** From the last fault until everybody was in sync again. */
  readonly healedMs: number
  readonly operations: number
  readonly losses: number
  readonly movedBytes: number
  /** Reads that clients answered by themselves, under leases. */
  readonly cachedReads: number
  /** Writes that clients answered by themselves, under holds. */
  readonly heldBack: number
  readonly fences: number
}

/** After the last fault everybody must be in sync again within this. */
const healMs = 40_000
/** Things that may still wait at a server though nobody asks: those whose asker gave up. */
const waitingMax = 8
/** Longer than a server remembers a question without an answer. */
const forgetMs = 5000

export const mixOf = (seed: number): MixName => mixNames[seed % mixNames.length] ?? 'everything'

export function replayCommand({ seed, faults }: SimulationOptions): string {
  return `npm run simulate -- --from ${seed} --seeds 1${faults === undefined ? '' : ` --faults ${faults}`} --trace`
}

/** One run: a volume, its clients, and what happens to them. Equal options give equal runs. */
export class Simulation {
  readonly #seed: number
  readonly #name: MixName
  readonly #mix: Mix
  readonly #world: World
  readonly #verifier: Verifier
  readonly #clients: readonly Client[]

  constructor(options: SimulationOptions) {
    const { seed } = options
    this.#seed = seed
    this.#name = options.faults ?? mixOf(seed)
    this.#mix = mixes[this.#name]
    const profile = { ...profileOf(this.#mix, new Prng(seed, 'profile')), ...options.profile }
    const world = new World({ seed, profile, attested: this.#mix.attested, trace: options.trace ?? 'off' })
    this.#world = world
    this.#verifier = new Verifier(world.timeline, world.trace, world.hosts)
    for (const host of world.hosts) world.revive(host)
    this.#clients = world.clients.map((name) => {
      const random = world.stream(`${name} cache`)
      const rate = 1 + random.between(-profile.drift, profile.drift)
      const holds = world.stream(`${name} holds`)
      const host = { rate, random, holder: holds.chance(profile.holds) ? holds : undefined }
      return new Client(name, world, world.stream(name), profile.client, host)
    })
    world.oracle.watch(this.#clients)
  }

  /** Lets everything happen, and judges it. */
  run(): Report {
    const { trace, events, timeline, history, oracle } = this.#world
    let violation: Violation | undefined
    let healedMs = 0
    try {
      this.#suffer()
      healedMs = this.#recover()
      this.#judge()
    } catch (error) {
      if (!(error instanceof Violation)) throw error
      violation = error
      trace.add(() => `VIOLATION ${violation}`)
    }
    return {
      seed: this.#seed,
      mix: this.#name,
      violation,
      traceHash: trace.hash,
      trace: trace.lines,
      events,
      virtualMs: timeline.now,
      healedMs,
      operations: history.filter((done) => done.result !== undefined).length,
      losses: oracle.losses.length,
      movedBytes: this.#world.movedBytes,
      cachedReads: this.#world.cachedReads,
      heldBack: this.#clients.reduce((sum, client) => sum + client.heldBack, 0),
      fences: oracle.fences,
    }
  }

  /** Things go wrong for a while, and then no more. */
  #suffer(): void {
    const world = this.#world
    const faults = new Faults(world, world.stream('faults'), this.#mix)
    world.runUntil(world.profile.lengthMs, () => this.#mend())
    world.trace.add(() => 'HEAL: from now on nothing goes wrong')
    world.network.profile = { ...calmNetwork, inOrder: world.profile.network.inOrder }
    world.directory.profile = calmDirectory
    faults.heal()
    this.#verifier.forget()
  }

  /** Everybody is in sync again, and nothing differs. Returns how long that took. */
  #recover(): number {
    const world = this.#world
    const healedAt = world.timeline.now
    world.timeline.after(500, () => {
      world.isEnding = true
    })
    const look = (): false => {
      world.operator.restore()
      return this.#mend()
    }
    const isWell = () => world.isEnding && this.#clients.every((client) => client.idle) && world.isInSync()
    if (!world.runUntil(healedAt + healMs, () => look() || isWell())) throw this.#notWell()
    const took = world.timeline.now - healedAt
    this.#verifier.forget()
    // What an operator asked for before may be carried out only now.
    if (!world.runUntil(world.timeline.now + healMs, () => look() || this.#isVerified())) throw this.#notWell()
    return took
  }

  #judge(): void {
    const { hosts, oracle, history } = this.#world
    checkMembersEqual(hosts, oracle)
    checkAcknowledged(history, oracle)
    checkLinearizable(history, oracle)
    // What was asked of a member that has died since is given up after a while, not at once.
    const isIdle = (): boolean => hosts.every(({ process }) => (process?.server.waiting ?? 0) <= waitingMax)
    this.#world.runUntil(this.#world.timeline.now + forgetMs, isIdle)
    for (const { node, process } of hosts) {
      const waiting = process?.server.waiting ?? 0
      if (waiting <= waitingMax) continue
      throw new Violation('tables', 'style: limits', `${waiting} things still wait at ${node}, though nobody asks`)
    }
  }

  /** Where bits are flipped, somebody looks after them. */
  #mend(): false {
    if (this.#mix.faults.flip !== undefined) this.#verifier.round()
    return false
  }

  /** A round is worth something only if all members took part from its beginning to its end. */
  #isVerified(): boolean {
    if (this.#world.isInSync()) this.#verifier.round()
    else this.#verifier.forget()
    return this.#verifier.isClean
  }

  #notWell(): Violation {
    const { directory, hosts, oracle, clients } = this.#world
    const { version, record } = directory.current
    const members = hosts.map(({ node, process, disk }) => {
      const status = process?.replica.status()
      const { applied, last, mark } = disk.os
      return [
        `${node}: ${status?.role}, epoch ${status?.epoch}, applied ${applied}, last ${last.epoch}:${last.seq},`,
        `may read: ${process?.replica.mayRead()}, resync: ${mark?.remaining.length}, amnesia: ${disk.amnesia}`,
      ].join(' ')
    })
    const busy = clients.filter((_, i) => this.#clients[i]?.idle === false)
    const what = [
      `record ${version}: ${JSON.stringify(record)}`,
      ...members,
      `committed: ${oracle.log.length}, verified: ${this.#verifier.isClean}, busy clients: ${busy.join() || 'none'}`,
    ]
    return new Violation('liveness', 'R36, R41', `not well ${healMs} ms after the last fault:\n  ${what.join('\n  ')}`)
  }
}
