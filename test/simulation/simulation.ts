import { type Incarnation, incarnation, type NodeId, nodeId, type Seq } from '../../proto/ids.ts'
import type { Message } from '../../replication/message.ts'
import { standardTiming } from '../../replication/ports.ts'
import { newRecord, type Versioned, type VolumeRecord } from '../../replication/record.ts'
import { checkAcknowledged, checkLinearizable, checkMembersEqual } from './checks.ts'
import { Client, type ClientWorld, type Done } from './client.ts'
import { SimDirectory } from './directory.ts'
import { Faults, type Victim } from './faults.ts'
import { Host } from './host.ts'
import { calmDirectory, calmNetwork, type Mix, type MixName, mixes, mixNames, type Profile, profileOf } from './mixes.ts'
import { SimNetwork } from './network.ts'
import { Oracle } from './oracle.ts'
import { Process, type ProcessWorld } from './process.ts'
import { Prng } from './random.ts'
import { sizeOf, tell } from './messages.ts'
import type { Answer, Call, RequestId, ServerFrame } from './session.ts'
import { Timeline } from './timeline.ts'
import { Trace } from './trace.ts'
import { Verifier } from './verifier.ts'
import { Violation } from './violation.ts'
import { controlKinds } from '../../replication/message.ts'

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
}

/** After the last fault everybody must be in sync again within this. */
const healMs = 40_000
/** Between two looks whether all is well. */
const lookMs = 100

export const mixOf = (seed: number): MixName => mixNames[seed % mixNames.length] ?? 'everything'

export function replayCommand({ seed, faults }: SimulationOptions): string {
  return `npm run simulate -- --from ${seed} --seeds 1${faults === undefined ? '' : ` --faults ${faults}`} --trace`
}

/** One run: a volume, its members, its clients, and what happens to them. Equal options give equal runs. */
export class Simulation implements ProcessWorld, ClientWorld, Victim {
  readonly mix: MixName
  readonly profile: Profile
  readonly timeline = new Timeline()
  readonly trace: Trace
  readonly network: SimNetwork
  readonly directory: SimDirectory
  readonly oracle: Oracle
  readonly timing = standardTiming
  readonly hosts: readonly Host[]
  readonly clients: readonly string[]
  readonly history: Done[] = []
  readonly verifier: Verifier
  readonly #options: SimulationOptions
  readonly #random: Prng
  readonly #byNode: ReadonlyMap<NodeId, Host>
  readonly #events = new Map<string, number>()
  readonly #deaths: (readonly [NodeId, Incarnation])[] = []
  #isEnding = false
  #movedBytes = 0
  #recordBefore: VolumeRecord

  constructor(options: SimulationOptions) {
    this.#options = options
    this.mix = options.faults ?? mixOf(options.seed)
    this.#random = this.#stream('world')
    this.profile = { ...profileOf(mixes[this.mix], this.#stream('profile')), ...options.profile }
    this.trace = new Trace(options.trace ?? 'off', () => this.timeline.now)
    this.hosts = Array.from({ length: this.profile.members }, (_, i) => this.#newHost(nodeId(`s${i + 1}`)))
    this.#byNode = new Map(this.hosts.map((host) => [host.node, host]))
    this.clients = Array.from({ length: this.profile.clients }, (_, i) => `c${i + 1}`)
    this.network = new SimNetwork(this.timeline, this.#stream('network'), this.profile.network)
    this.#recordBefore = newRecord(this.nodes, this.profile.minInSync)
    this.directory = new SimDirectory({
      timeline: this.timeline,
      random: this.#stream('directory'),
      profile: this.profile.directory,
      record: this.#recordBefore,
      changed: (versioned) => this.#recordChanged(versioned),
    })
    this.oracle = new Oracle({
      now: () => this.timeline.now,
      record: () => this.directory.current.record,
      disks: new Map(this.hosts.map((host) => [host.node, host.disk])),
    })
    this.verifier = new Verifier(this.timeline, this.trace, this.hosts)
  }

  get nodes(): readonly NodeId[] {
    return this.hosts.map((host) => host.node)
  }
  get storageProfile(): Profile['storage'] {
    return this.profile.storage
  }

  /** Lets everything happen, and judges it. */
  run(): Report {
    let violation: Violation | undefined
    let healed = 0
    try {
      healed = this.#live()
    } catch (error) {
      if (!(error instanceof Violation)) throw error
      violation = error
      this.trace.add(() => `VIOLATION ${error}`)
    }
    return {
      seed: this.#options.seed,
      mix: this.mix,
      violation,
      traceHash: this.trace.hash,
      trace: this.trace.lines,
      events: this.#events,
      virtualMs: this.timeline.now,
      healedMs: healed,
      operations: this.history.filter((done) => done.result !== undefined).length,
      losses: this.oracle.losses.length,
      movedBytes: this.#movedBytes,
    }
  }

  #live(): number {
    for (const host of this.hosts) this.revive(host)
    const clients = this.clients.map((name) => new Client(name, this, this.#stream(name), this.profile.client))
    const faults = new Faults(this, this.#stream('faults'), mixes[this.mix])
    const mix: Mix = mixes[this.mix]
    const mend = () => {
      if (mix.faults.flip !== undefined) this.verifier.round()
    }
    this.#runUntil(this.profile.lengthMs, mend)
    this.trace.add(() => 'HEAL: from now on nothing goes wrong')
    this.network.profile = { ...calmNetwork, inOrder: this.profile.network.inOrder }
    this.directory.profile = calmDirectory
    faults.heal()
    this.verifier.forget()
    const healedAt = this.timeline.now
    this.timeline.after(500, () => {
      this.#isEnding = true
    })
    const isWell = () => this.#isEnding && clients.every((client) => client.idle) && this.isInSync()
    const look = () => {
      mend()
      return isWell()
    }
    if (!this.#runUntil(healedAt + healMs, look)) throw this.#notWell(clients)
    const took = this.timeline.now - healedAt
    this.verifier.forget()
    if (!this.#runUntil(this.timeline.now + healMs, () => this.#isVerified())) throw this.#notWell(clients)
    checkMembersEqual(this.hosts, this.oracle)
    checkAcknowledged(this.history, this.oracle)
    checkLinearizable(this.history, this.oracle)
    this.#checkTables()
    return took
  }

  /** Until that time, or until `look`, asked from time to time, says that it is enough. */
  #runUntil(end: number, look: () => boolean | void): boolean {
    let nextLook = this.timeline.now + lookMs
    while (this.timeline.now < end) {
      if (!this.timeline.step()) return false
      if (this.timeline.now < nextLook) continue
      nextLook = this.timeline.now + lookMs
      if (look() === true) return true
    }
    return false
  }

  #isVerified(): boolean {
    // A round is worth something only if all members took part from its beginning to its end.
    if (this.isInSync()) this.verifier.round()
    else this.verifier.forget()
    return this.verifier.isClean
  }

  /** Everybody is in the set, serves, and has everything. */
  isInSync(): boolean {
    const { record } = this.directory.current
    if (record.inSync.length !== this.hosts.length) return false
    return this.hosts.every(({ process, disk }) => {
      if (process === undefined || !process.isAlive || !process.replica.mayRead()) return false
      return disk.os.applied === this.oracle.log.length && disk.os.last.seq === this.oracle.log.length
    })
  }

  #notWell(clients: readonly Client[]): Violation {
    const { version, record } = this.directory.current
    const members = this.hosts.map(({ node, process, disk }) => {
      const status = process?.replica.status()
      return `${node}: ${status?.role} epoch ${status?.epoch} applied ${disk.os.applied} last ${disk.os.last.epoch}:${disk.os.last.seq} mayRead ${process?.replica.mayRead()} resync ${disk.os.mark?.remaining.length} amnesia ${disk.amnesia} `
    })
    const busy = this.clients.filter((_, i) => clients[i]?.idle === false)
    const what = [`record ${version}: ${JSON.stringify(record)}`, ...members, `committed ${this.oracle.log.length}`, `busy: ${busy.join()}`, `verified ${this.verifier.isClean}`]
    return new Violation('liveness', 'R36, R41', `not well ${healMs} ms after the last fault:\n  ${what.join('\n  ')}`)
  }

  /** Everything that waited has been answered, and forgotten. */
  #checkTables(): void {
    for (const { node, process } of this.hosts) {
      const waiting = process?.server.waiting ?? 0
      if (waiting > 8) throw new Violation('tables', 'style: limits', `${waiting} things still wait at ${node}, though nobody asks`)
    }
  }

  // What the parts of the simulation need of each other.

  send(client: string, to: NodeId, call: Call, knownThen: Seq, onAnswer: (answer: Answer) => void): void {
    this.#carry(client, to, { bytes: 100, control: false, label: () => `${call.kind} ${JSON.stringify(call)}` }, (process) => {
      process.server.onCall(call, (answer) => {
        if (call.kind === 'read' && answer.kind === 'done') this.oracle.readAnswered(to, call.op, answer.at, knownThen)
        const packet = { bytes: 100, control: false, deliver: this.#unlessLost(() => onAnswer(answer)) }
        this.trace.add(() => `${process.incarnation} -> ${client}: ${JSON.stringify(answer)}`)
        this.network.send(to, client, packet)
      })
    })
  }

  sendFrame(from: Process, to: NodeId, frame: ServerFrame): void {
    const what = { bytes: 100, control: false, label: () => JSON.stringify(frame) }
    const before = this.losses()
    this.#carry(from.node, to, what, (process) => {
      if (this.losses() === before) process.server.onFrame(from.node, frame)
    })
  }

  /** When every host has lost power, no connection of clients from before is left. */
  #unlessLost(then: () => void): () => void {
    const before = this.losses()
    return () => {
      if (this.losses() === before) then()
    }
  }

  sendMessage(from: Process, to: NodeId, message: Message): void {
    if (message.kind === 'stream' && message.content.kind === 'slice') this.#movedBytes += message.content.slice.movedBytes
    const control = controlKinds.has(message.kind)
    const label = () => `(${message.epoch}, ${message.incarnation}) ${tell(message)}`
    this.#carry(from.node, to, { bytes: sizeOf(message), control, label }, (process) => process.replica.onMessage(from.node, message))
  }

  #carry(from: string, to: NodeId, what: { readonly bytes: number; readonly control: boolean; readonly label: () => string }, then: (process: Process) => void): void {
    const host = this.#byNode.get(to)
    const boots = host?.boots
    this.trace.add(() => `${from} => ${to} ${what.label()}`)
    const deliver = () => {
      const process = host?.process
      if (process === undefined || host?.boots !== boots) return
      this.trace.add(() => `${from} -> ${process.incarnation} ${what.label()}`)
      process.step(() => then(process))
    }
    this.network.send(from, to, { bytes: what.bytes, control: what.control, deliver })
  }

  logged(process: Process, event: string, fields: Readonly<Record<string, unknown>>): void {
    this.#events.set(event, (this.#events.get(event) ?? 0) + 1)
    this.trace.add(() => `${process.incarnation} * ${event} ${JSON.stringify(fields)}`)
  }

  ended(process: Process): void {
    const host = this.#byNode.get(process.node)
    if (host?.process !== process) return
    host.process = undefined
    this.#attest(process)
    this.timeline.after(this.#random.exponential(1000), () => this.revive(host))
  }

  kill(host: Host): void {
    const { process } = host
    if (process === undefined) return
    process.end()
    host.process = undefined
    this.#attest(process)
  }

  crash(host: Host): void {
    if (!host.isUp) return
    host.process?.end()
    host.process = undefined
    host.isUp = false
    host.disk.crash(this.#random)
    this.oracle.hostLostPower(host.node)
  }

  revive(host: Host): void {
    if (!host.isUp) host.boot()
    if (host.process !== undefined) return
    host.starts += 1
    const process = new Process(this, host, incarnation(`${host.node}#${host.starts}`), this.#stream(`${host.node}#${host.starts}`))
    host.process = process
    const { epoch, last, base, applied, durable, amnesia, resync } = process.storage.opened
    this.trace.add(() => `${process.incarnation} starts: epoch ${epoch} base ${base.epoch}:${base.seq} last ${last.epoch}:${last.seq} applied ${applied} durable ${durable} amnesia ${amnesia} resync ${resync?.remaining.length}`)
    process.start()
    for (const [node, dead] of this.#deaths) this.#tellDeath(host, node, dead)
  }

  losses(): number {
    return this.oracle.losses.length
  }
  known(): Seq {
    return this.oracle.known
  }
  acknowledged(request: RequestId): void {
    this.oracle.acknowledged(request)
  }
  ending(): boolean {
    return this.#isEnding
  }

  #newHost(node: NodeId): Host {
    const rate = 1 + this.#random.between(-this.profile.drift, this.profile.drift)
    const offset = this.#random.between(1000, 1e7)
    return new Host(node, { rate, offset, trueNow: () => this.timeline.now })
  }

  #recordChanged(versioned: Versioned): void {
    const before = this.#recordBefore
    this.#recordBefore = versioned.record
    this.oracle.recordChanged(before, versioned.record)
    const { epoch, primary, inSync, incarnations, changedBy } = versioned.record
    this.trace.add(() => `RECORD ${versioned.version}: ${JSON.stringify({ epoch, primary, inSync, incarnations, changedBy })}`)
  }

  /** Its supervisor saw it end, and says so to all; unless the supervisor is gone as well. */
  #attest(process: Process): void {
    this.trace.add(() => `${process.incarnation} has ended`)
    if (!this.#random.chance(mixes[this.mix].attested)) return
    this.#deaths.push([process.node, process.incarnation])
    for (const host of this.hosts) this.#tellDeath(host, process.node, process.incarnation)
  }

  #tellDeath(host: Host, node: NodeId, dead: Incarnation): void {
    const { process } = host
    if (process === undefined) return
    this.timeline.after(5 + this.#random.exponential(this.#random.pick([10, 500])), () => {
      this.trace.add(() => `${process.incarnation} hears that ${dead} has ended`)
      process.step(() => process.replica.onDeath(node, dead))
    })
  }

  /** Every part has random numbers of its own, so that a change of one leaves the others as they were. */
  #stream(name: string): Prng {
    return new Prng(this.#options.seed, name)
  }
}
