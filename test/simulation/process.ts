import type { Incarnation, NodeId } from '../../proto/ids.ts'
import type { Message } from '../../replication/message.ts'
import type { Ports, Timing } from '../../replication/ports.ts'
import type { Versioned, VolumeRecord } from '../../replication/record.ts'
import { Replica } from '../../replication/replica.ts'
import type { DirectoryClient, SimDirectory } from './directory.ts'
import type { Host } from './host.ts'
import type { Oracle } from './oracle.ts'
import type { Prng } from './random.ts'
import { ModelServer } from './server.ts'
import type { Push, ServerFrame } from './session.ts'
import { SimStorage, type StorageProfile } from './storage.ts'
import type { Timeline } from './timeline.ts'
import type { Trace } from './trace.ts'
import { Violation } from './violation.ts'

export interface ProcessWorld {
  readonly timeline: Timeline
  readonly directory: SimDirectory
  readonly oracle: Oracle
  readonly trace: Trace
  readonly timing: Timing
  readonly storageProfile: StorageProfile
  sendMessage(from: Process, to: NodeId, message: Message): void
  sendFrame(from: Process, to: NodeId, frame: ServerFrame): void
  push(from: Process, push: Push): void
  ended(process: Process): void
  logged(process: Process, event: string, fields: Readonly<Record<string, unknown>>): void
}

/** Thrown at the place where a process is killed, so that nothing after it happens. */
const killed = new Error('killed')

/** One start of one file server. It takes one step at a time, and dies between two steps or in the middle of one. */
export class Process {
  readonly node: NodeId
  readonly incarnation: Incarnation
  readonly storage: SimStorage
  readonly replica: Replica
  readonly server: ModelServer
  readonly #world: ProcessWorld
  readonly #host: Host
  readonly #random: Prng
  readonly #directory: DirectoryClient
  readonly #unwatch: () => void
  #newest: Versioned | undefined
  #isAlive = true
  /** While it is stopped, what comes waits here. */
  #piled: (() => void)[] | undefined
  /** Places it still passes before it is killed. */
  #doom: number | undefined

  constructor(world: ProcessWorld, host: Host, incarnation: Incarnation, random: Prng) {
    this.node = host.node
    this.incarnation = incarnation
    this.#world = world
    this.#host = host
    this.#random = random
    this.#directory = { name: host.node, onRecord: (versioned) => this.#onRecord(versioned) }
    this.storage = new SimStorage(host.disk, world.storageProfile, {
      point: (name) => this.#point(name),
      later: (delayMs, then) => world.timeline.after(delayMs, () => this.step(then)),
      random: () => random.next(),
      appended: (entry) => world.oracle.appended(entry),
      applied: (entry) => world.oracle.applied(this.node, entry),
    })
    const sendToServer = (to: NodeId, frame: ServerFrame) => world.sendFrame(this, to, frame)
    const flushed = world.oracle.flushed.bind(world.oracle)
    const ports = {
      self: host.node,
      incarnation,
      now: host.now,
      timing: world.timing,
      sendToServer,
      flushed,
      push: (push: Push) => world.push(this, push),
      slowly: (then: () => void) => this.#slowly(then),
    }
    this.server = new ModelServer(ports, this.storage, () => this.replica)
    this.replica = new Replica(this.#ports(), { node: host.node, incarnation }, world.timing)
    this.#unwatch = world.directory.watch(this.#directory)
  }

  /** The newest that it was told. */
  get record(): VolumeRecord | undefined {
    return this.#newest?.record
  }
  get isAlive(): boolean {
    return this.#isAlive
  }
  get isStopped(): boolean {
    return this.#piled !== undefined
  }

  start(): void {
    this.step(() => this.replica.start())
    this.#tick()
  }

  /** Does something in this process: now, or when it goes on, or never. */
  step(what: () => void): void {
    if (!this.#isAlive) return
    if (this.#piled !== undefined) {
      this.#piled.push(what)
      return
    }
    try {
      what()
      this.server.settle()
      this.replica.checkInvariants()
    } catch (error) {
      if (error instanceof Violation) throw error
      const mayEnd = error === killed || this.#host.disk.refused
      const what = error instanceof Error ? (error.stack ?? error.message) : 'something that is no error was thrown'
      if (!mayEnd) throw new Violation('invariants', 'R1-R42', `${this.node}: ${what}`)
      this.#world.trace.add(() => `${this.incarnation} ends: ${what.split('\n')[0]}`)
      this.end()
      this.#world.ended(this)
    }
  }

  stop(): void {
    this.#piled ??= []
  }

  continue(): void {
    const piled = this.#piled ?? []
    this.#piled = undefined
    for (const what of piled) this.step(what)
  }

  /** Dies at the n-th place from now on at which something reaches, or could reach, the world outside. */
  killAfter(places: number): void {
    this.#doom = places
  }

  /** It is not to be killed after all. */
  spare(): void {
    this.#doom = undefined
  }

  end(): void {
    this.#isAlive = false
    this.#unwatch()
  }

  #point(name: string): void {
    if (this.#doom === undefined) return
    this.#doom -= 1
    if (this.#doom >= 0) return
    this.#world.trace.add(() => `${this.incarnation} is killed ${name}`)
    throw killed
  }

  /** One read in four has to wait for the disk. */
  #slowly(then: () => void): void {
    if (!this.#random.chance(0.25)) return then()
    const delayMs = this.#random.exponential(4 * this.#world.storageProfile.readMs)
    this.#world.timeline.after(delayMs, () => this.step(then))
  }

  #tick(): void {
    if (!this.#isAlive) return
    const next = (this.#world.timing.heartbeat / 3) * this.#random.between(0.8, 1)
    this.#world.timeline.after(next, () => this.#tick())
    if (this.isStopped) return
    this.step(() => {
      this.replica.onTick()
      this.server.onTick()
    })
  }

  #onRecord(versioned: Versioned): void {
    this.step(() => {
      this.#world.trace.add(() => `${this.incarnation} sees record ${versioned.version}`)
      this.#point('before a record')
      if (versioned.version > (this.#newest?.version ?? 0)) this.#newest = versioned
      this.replica.onRecord(versioned)
      this.#point('after a record')
    })
  }

  #ports(): Ports {
    const { directory } = this.#world
    return {
      clock: { now: this.#host.now },
      random: this.#random,
      network: {
        send: (to, message) => {
          this.#point(`before ${message.kind}`)
          this.#world.sendMessage(this, to, message)
          this.#point(`after ${message.kind}`)
        },
      },
      directory: {
        swap: (expected, next) => {
          this.#point('before swap')
          directory.swap(this.#directory, expected, next)
          this.#point('after swap')
        },
        read: () => directory.read(this.#directory),
      },
      storage: this.storage,
      host: this.server,
      log: (event, fields) => this.#world.logged(this, event, fields),
    }
  }
}
