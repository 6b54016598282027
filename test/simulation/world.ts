import { type Incarnation, incarnation, type NodeId, nodeId } from '../../proto/ids.ts'
import { controlKinds, type Message } from '../../replication/message.ts'
import { standardTiming } from '../../replication/ports.ts'
import { newRecord, type Versioned, type VolumeRecord } from '../../replication/record.ts'
import type { Kept } from './cache.ts'
import type { ClientWorld, Done } from './client.ts'
import { SimDirectory } from './directory.ts'
import type { Victim } from './faults.ts'
import type { Hold } from './holds.ts'
import { Host } from './host.ts'
import { show, sizeOf, tell } from './messages.ts'
import type { Mix, Profile } from './mixes.ts'
import { SimNetwork } from './network.ts'
import type { Op } from './operations.ts'
import { Operator, operatorEvents } from './operator.ts'
import { type Known, Oracle } from './oracle.ts'
import { Process, type ProcessWorld } from './process.ts'
import { Prng } from './random.ts'
import type { Answer, Call, Push, RequestId, ServerFrame } from './session.ts'
import { Timeline } from './timeline.ts'
import { Trace } from './trace.ts'

/** Between two looks whether something is so. */
const lookMs = 100
/** A call, an answer or a frame between servers, on the wire. */
const frameBytes = 100

export interface WorldOptions {
  readonly seed: number
  readonly profile: Profile
  /** Chance that a death is attested by a supervisor. */
  readonly attested: Mix['attested']
  readonly trace: 'off' | 'hash' | 'lines'
  /** One of several volumes on the same hosts: where it is, and who uses it. */
  readonly fleet?: {
    readonly timeline: Timeline
    readonly network: SimNetwork
    readonly nodes: readonly NodeId[]
    readonly clients: readonly string[]
  }
}

/** A volume's members with their hosts, what lies between them, and whoever watches. Nothing happens here by itself. */
export class World implements ProcessWorld, ClientWorld, Victim {
  readonly profile: Profile
  readonly timeline: Timeline
  readonly trace: Trace
  readonly network: SimNetwork
  readonly directory: SimDirectory
  readonly operator: Operator
  readonly oracle: Oracle
  readonly timing = standardTiming
  readonly hosts: readonly Host[]
  readonly clients: readonly string[]
  readonly history: Done[] = []
  readonly #options: WorldOptions
  readonly #random: Prng
  readonly #byNode: ReadonlyMap<NodeId, Host>
  readonly attestedDeaths: (readonly [NodeId, Incarnation])[] = []
  /** What replicas had to say, which faults there were, and what came of them: how often. */
  readonly events = new Map<string, number>()
  /** Contents that slices have carried. */
  movedBytes = 0
  /** Reads that clients answered by themselves. */
  cachedReads = 0
  isEnding = false
  readonly #pushed = new Map<string, (push: Push) => void>()
  #recordBefore: VolumeRecord

  constructor(options: WorldOptions) {
    const { fleet } = options
    this.#options = options
    this.timeline = fleet?.timeline ?? new Timeline()
    this.#random = this.stream('world')
    this.profile = options.profile
    this.trace = new Trace(options.trace, () => this.timeline.now)
    const nodes = fleet?.nodes ?? Array.from({ length: this.profile.members }, (_, i) => nodeId(`s${i + 1}`))
    this.hosts = nodes.map((node) => this.#newHost(node))
    this.#byNode = new Map(this.hosts.map((host) => [host.node, host]))
    this.clients = fleet?.clients ?? Array.from({ length: this.profile.clients }, (_, i) => `c${i + 1}`)
    this.network = fleet?.network ?? new SimNetwork(this.timeline, this.stream('network'), this.profile.network)
    this.#recordBefore = newRecord(this.nodes, this.profile.minInSync)
    this.directory = new SimDirectory({
      timeline: this.timeline,
      random: this.stream('directory'),
      profile: this.profile.directory,
      record: this.#recordBefore,
      changed: (versioned) => this.#recordChanged(versioned),
      happened: (what) => this.happened(what),
    })
    this.operator = new Operator({
      directory: this.directory,
      random: this.stream('operator'),
      trace: this.trace,
      nodes: this.nodes,
      minInSync: this.profile.minInSync,
    })
    this.oracle = new Oracle({
      now: () => this.timeline.now,
      record: () => this.directory.current.record,
      recordSeenBy: (node) => this.#byNode.get(node)?.process?.record,
      disks: new Map(this.hosts.map((host) => [host.node, host.disk])),
    })
  }

  get nodes(): readonly NodeId[] {
    return this.hosts.map((host) => host.node)
  }
  get storageProfile(): Profile['storage'] {
    return this.profile.storage
  }

  /** Until that time, or until `look`, asked from time to time, says that it is enough. */
  runUntil(end: number, look: () => boolean): boolean {
    let nextLook = this.timeline.now + lookMs
    while (this.timeline.now < end) {
      if (!this.timeline.step()) return false
      if (this.timeline.now < nextLook) continue
      nextLook = this.timeline.now + lookMs
      if (look()) return true
    }
    return false
  }

  /** Everybody is in the set, serves, and has everything. */
  isInSync(): boolean {
    const { record } = this.directory.current
    if (record.inSync.length !== this.hosts.length || record.members.length !== this.hosts.length) return false
    return this.hosts.every(({ process, disk }) => {
      if (process === undefined || !process.isAlive || !process.replica.mayRead()) return false
      return disk.os.applied === this.oracle.log.length && disk.os.last.seq === this.oracle.log.length
    })
  }

  // What the parts of the simulation need of each other.

  send(client: string, to: NodeId, call: Call, knownThen: Known, onAnswer: (answer: Answer) => void): void {
    this.#carry(
      client,
      to,
      { bytes: frameBytes, control: false, label: () => `${call.kind} ${tellCall(call)}` },
      (process) => {
        process.server.onCall(call, (answer) => {
          if (call.kind === 'read' && answer.kind === 'done')
            this.oracle.readAnswered(to, call.op, answer.at.seq, knownThen)
          const packet = { bytes: frameBytes, control: false, deliver: this.#unlessLost(() => onAnswer(answer)) }
          this.trace.add(() => `${process.incarnation} -> ${client}: ${tellCall(answer)}`)
          this.network.send(to, client, packet)
        })
      },
    )
  }

  sendFrame(from: Process, to: NodeId, frame: ServerFrame): void {
    const what = { bytes: frameBytes, control: false, label: () => tellCall(frame) }
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

  /** A server speaks to a client by itself. */
  push(from: Process, push: Push): void {
    const { client } = push.stream
    this.trace.add(() => `${from.incarnation} => ${client}: asks for ${push.objects.join()} ${push.everything}`)
    const deliver = this.#unlessLost(() => this.#pushed.get(client)?.(push))
    this.network.send(from.node, client, { bytes: frameBytes, control: false, deliver })
  }

  answeredFromCache(client: string, op: Op, kept: Kept): void {
    this.cachedReads += 1
    this.trace.add(() => `${client} answers ${op.object} by itself: ${kept.result} as of ${kept.at.seq}`)
    this.oracle.answeredFromCache(client, op, kept.at.seq)
  }

  onPush(client: string, take: (push: Push) => void): void {
    this.#pushed.set(client, take)
  }

  sendMessage(from: Process, to: NodeId, message: Message): void {
    if (message.kind === 'stream' && message.content.kind === 'slice')
      this.movedBytes += message.content.slice.movedBytes
    const control = controlKinds.has(message.kind)
    const label = () => `(${message.epoch}, ${message.incarnation}) ${tell(message)}`
    this.#carry(from.node, to, { bytes: sizeOf(message), control, label }, (process) =>
      process.replica.onMessage(from.node, message),
    )
  }

  #carry(
    from: string,
    to: NodeId,
    what: { readonly bytes: number; readonly control: boolean; readonly label: () => string },
    then: (process: Process) => void,
  ): void {
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
    this.happened(event)
    this.trace.add(() => `${process.incarnation} * ${event} ${show(fields)}`)
  }

  happened(what: string): void {
    this.events.set(what, (this.events.get(what) ?? 0) + 1)
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
    this.oracle.hostLostPower(host.node, incarnation(`${host.node}#${host.starts}`))
  }

  areWhole(): boolean {
    return this.hosts.every(({ node, isUp }) => isUp && this.oracle.isWhole(node))
  }

  wipe(host: Host): void {
    this.kill(host)
    host.disk.empty()
    this.oracle.hostLostPower(host.node, incarnation(`${host.node}#${host.starts}`))
  }

  revive(host: Host): void {
    if (!host.isUp) host.boot()
    if (host.process !== undefined) return
    host.disk.refused = false
    host.starts += 1
    const process = new Process(
      this,
      host,
      incarnation(`${host.node}#${host.starts}`),
      this.stream(`${host.node}#${host.starts}`),
    )
    host.process = process
    const { epoch, last, base, applied, durable, amnesia, resync } = process.storage.opened
    this.trace.add(
      () =>
        `${process.incarnation} starts: epoch ${epoch} base ${base.epoch}:${base.seq} last ${last.epoch}:${last.seq} applied ${applied} durable ${durable} amnesia ${amnesia} resync ${resync?.remaining.length}`,
    )
    process.start()
    for (const [node, dead] of this.attestedDeaths) this.#tellDeath(host, node, dead)
  }

  losses(): number {
    return this.oracle.losses.length
  }
  known(): Known {
    return this.oracle.known
  }
  acknowledged(request: RequestId): void {
    this.oracle.acknowledged(request)
  }
  heldInVain(client: string, object: string, hold: Hold): void {
    this.oracle.heldInVain(client, object, hold)
  }
  heldBack(client: string, object: string, hold: Hold): void {
    this.trace.add(() => `${client} writes to ${object} by itself, under ${hold.session} ${hold.number}`)
    this.oracle.heldBack(client, object, hold)
  }
  ending(): boolean {
    return this.isEnding
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
    for (const what of operatorEvents(before, versioned.record)) this.happened(what)
    const { epoch, primary, inSync, eligible, members, drained, minInSync, incarnations, changedBy } = versioned.record
    this.trace.add(
      () =>
        `RECORD ${versioned.version}: ${JSON.stringify({ epoch, primary, inSync, eligible, members, drained, minInSync, incarnations, changedBy })}`,
    )
  }

  /** Its supervisor saw it end, and says so to all; unless the supervisor is gone as well. */
  #attest(process: Process): void {
    this.trace.add(() => `${process.incarnation} has ended`)
    if (!this.#random.chance(this.#options.attested)) return
    this.attestedDeaths.push([process.node, process.incarnation])
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
  stream(name: string): Prng {
    return new Prng(this.#options.seed, name)
  }
}

const tellCall = (what: unknown): string =>
  JSON.stringify(what, (_key, part: unknown) => (typeof part === 'bigint' ? String(part) : part))
