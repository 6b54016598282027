import { randomBytes } from 'node:crypto'
import type { Dial } from '../proto/channel.ts'
import type { Hold } from '../proto/generated/file-service.ts'
import type { OrphanRound, SessionsAlive } from '../proto/generated/peer-service.ts'
import { type Incarnation, incarnation, type NodeId, type Seq } from '../proto/ids.ts'
import type { Host, Log, Timing, VerifyAnswer } from '../replication/ports.ts'
import type { Versioned } from '../replication/record.ts'
import { Replica } from '../replication/replica.ts'
import { Behind } from './admin/behind.ts'
import { Rates } from './admin/rates.ts'
import { FileTimes, HostClock } from './clock.ts'
import type { Directory } from './directory/directory.ts'
import { directoryPort } from './directory-port.ts'
import { type CutOff, Partition } from './partition.ts'
import { type FileServerMessage, PeerNetwork } from './rpc/peer-network.ts'
import type { AttachmentPorts } from './session/attachment.ts'
import { Attachments } from './session/attachments.ts'
import { Changes } from './session/changes.ts'
import { Commits } from './session/commits.ts'
import { Executor } from './session/executor.ts'
import { answerTo, Forwards, handedFrom } from './session/forwards.ts'
import { Holds } from './session/holds.ts'
import { Leader } from './session/leader.ts'
import { Locks } from './session/locks.ts'
import { Orphans } from './session/orphans.ts'
import { Reads } from './session/reads.ts'
import { RoleWatch } from './session/role-watch.ts'
import { Sessions, sessionTimeoutMs } from './session/sessions.ts'
import { VolumeSpace } from './session/space.ts'
import { Tickets } from './session/tickets.ts'
import { VolumeLeases } from './session/volume-leases.ts'
import type { VolumeStore } from './store/volume-store.ts'

export interface VolumeOptions {
  readonly dial: Dial
  readonly node: NodeId
  /** Where this member's gRPC listens. */
  readonly address: string
  readonly incarnation: Incarnation
  readonly volume: string
  readonly directory: Directory
  readonly store: VolumeStore
  readonly timing: Timing
  readonly log: Log
  /** Something broke that must not break: this process has to end, so that another member goes on. */
  readonly onFatal: (error: unknown) => void
  readonly sessionTimeoutMs?: number
  readonly partitionAfterMs?: number
}

/** How often the store is asked whether it has caught up, while it lags. */
const backlogMs = 5

/** Somewhere in 2^62 numbers: no two processes use the same ones. */
const anyTicket = (): bigint => randomBytes(8).readBigUInt64BE() >> 2n

/** One member of one volume: replica, sessions and peers, wired together. Decides nothing itself. */
export class Volume {
  readonly name: string
  readonly node: NodeId
  readonly incarnation: Incarnation
  readonly address: string
  readonly replica: Replica
  readonly store: VolumeStore
  readonly peers: PeerNetwork
  readonly clock = new HostClock()
  readonly sessions: Sessions
  readonly attachments: Attachments
  readonly attachmentPorts: AttachmentPorts
  readonly executor: Executor
  readonly leases: VolumeLeases
  readonly verifications = new Tickets<VerifyAnswer>()
  readonly space: VolumeSpace
  readonly log: Log
  readonly leader: Leader
  readonly rates = new Rates()
  readonly behind: Behind
  readonly partition: Partition
  /** The newest record seen. */
  record: Versioned | undefined
  readonly #options: VolumeOptions
  readonly #commits: Commits
  readonly #locks: Locks
  readonly #holds: Holds
  readonly #commitAnswers = new Tickets<Seq | undefined>()
  readonly #flushes = new Tickets<'flushed' | 'lost'>()
  readonly #forwards: Forwards
  readonly #roles = new RoleWatch()
  #led = false
  #reportedTo: NodeId | undefined
  #lookPending = false

  constructor(options: VolumeOptions) {
    const { incarnation, log, node, store, timing, volume } = options
    this.#options = options
    this.name = volume
    this.node = node
    this.incarnation = incarnation
    this.address = options.address
    this.store = store
    this.behind = new Behind(store, () => this.clock.now())
    this.log = log
    this.#commits = new Commits(store.opened.applied, (at) => this.replica.position(at))
    this.peers = this.#openPeers(options)
    this.leases = new VolumeLeases({
      self: { node, incarnation },
      timing,
      now: () => this.clock.now(),
      replica: () => this.replica,
      store,
      step: (run) => this.step(run),
    })
    this.replica = this.#openReplica(options)
    const { replica } = this
    const commits = this.#commits
    this.partition = new Partition({
      now: () => this.clock.now(),
      serves: () => replica.mayRead(),
      isWhole: () => store.resync() === undefined,
      policy: () => this.record?.record.onPartition,
      askDirectory: () => options.directory.readRecord(volume),
      log,
      ...(options.partitionAfterMs !== undefined && { afterMs: options.partitionAfterMs }),
    })
    const { nowNs } = new FileTimes()
    const now = (): number => this.clock.now()
    const { changed } = this.#roles
    const locks = new Locks({ state: store, commits, now })
    this.#locks = locks
    this.space = new VolumeSpace(replica)
    const { freeBytes } = this.space
    const holds = new Holds({
      replica,
      state: store,
      commits,
      now,
      freeBytes,
      log,
      heard: (session) => this.sessions.heard(session),
      ask: (...hold) => this.#ask(...hold),
    })
    this.#holds = holds
    const common = { replica, state: store, commits, nowNs, log, locks, holds }
    this.executor = new Executor({ ...common, freeBytes, room: () => this.#room() })
    this.sessions = new Sessions({ ...common, now, timeoutMs: options.sessionTimeoutMs ?? sessionTimeoutMs })
    const { sessions } = this
    const asking = { sessions, ask: (round: OrphanRound) => this.#askOrphans(round) }
    const orphans = new Orphans({ ...common, ...asking })
    const space = (): ReturnType<VolumeSpace['get']> => this.space.get()
    const duties = { executor: this.executor, sessions, orphans, flushes: this.#flushes }
    const owner = { uid: process.geteuid?.() ?? 0, gid: process.getegid?.() ?? 0 }
    this.leader = new Leader({ ...common, ...duties, space, self: node, owner })
    this.#forwards = new Forwards((to, value) => this.peers.tell(to, { $case: 'forward', value }), anyTicket())
    const changes = new Changes({ self: node, replica, decider: this.leader, forwards: this.#forwards, changed })
    const cutOff = (): CutOff => this.partition.cutOff
    const answers = { commitAnswers: this.#commitAnswers, changed, changes, cutOff }
    const reads = new Reads({ ...common, self: node, ...answers })
    const serves = (): boolean => replica.mayRead() || cutOff() !== 'no'
    this.attachments = new Attachments({ now, serves, report: () => this.reportSessions() })
    const { attachments, leases } = this
    this.attachmentPorts = { self: node, replica, state: store, reads, changes, attachments, leases, changed, cutOff }
  }

  #openPeers({ dial, incarnation, log, node, volume }: VolumeOptions): PeerNetwork {
    return new PeerNetwork({
      dial,
      node,
      incarnation,
      volume,
      log,
      onMessage: (from, message) => this.step(() => this.replica.onMessage(from, message)),
      onFileServer: (from, message) => this.#onFileServer(from, message),
      onConnected: (peer) => this.#forwards.onConnected(peer),
    })
  }

  #openReplica({ directory, incarnation, log, node, store, timing, volume }: VolumeOptions): Replica {
    const onRecord = (versioned: Versioned): void => this.onRecord(versioned)
    return new Replica(
      {
        clock: this.clock,
        random: { next: Math.random },
        network: this.peers,
        directory: directoryPort(directory, volume, { onRecord, log }),
        storage: store,
        host: this.#host(),
        log,
      },
      { node, incarnation },
      timing,
    )
  }

  start(): void {
    this.step(() => this.replica.start())
  }

  onRecord(versioned: Versioned): void {
    if (this.record === undefined || versioned.version > this.record.version) this.record = versioned
    this.step(() => this.replica.onRecord(versioned))
  }

  onDeath(node: NodeId, incarnation: Incarnation): void {
    this.step(() => this.replica.onDeath(node, incarnation))
  }

  /** Every few tens of milliseconds. */
  onTick(): void {
    this.step(() => this.replica.onTick())
    this.space.look()
    this.#locks.onTick()
    this.#holds.onTick()
    this.attachments.onTick()
    this.leases.onTick()
    this.#look()
  }

  /** About once a second. */
  onSecond(): void {
    this.partition.onSecond()
    this.rates.sample(this.clock.now(), this.replica.status().members)
    this.#watched(this.leader.onTick())
  }

  /** Tells the primary which sessions live here. */
  reportSessions(): void {
    const primary = this.replica.primary()
    const alive = this.attachments.alive()
    if (primary === undefined || alive.length === 0) return
    if (primary === this.node) return this.#onAlive(this.node, { incarnation: this.incarnation, sessions: [...alive] })
    this.peers.tell(primary, { $case: 'sessionsAlive', value: { sessions: [...alive], incarnation: this.incarnation } })
  }

  #onAlive(from: NodeId, { incarnation: of, sessions }: SessionsAlive): void {
    this.sessions.onAlive(from, sessions)
    this.leases.onAlive({ node: from, incarnation: incarnation(of) }, sessions)
  }

  /** A step of replication or of the store. What it throws is a broken invariant or a broken disk. */
  step(run: () => void): void {
    try {
      run()
    } catch (error) {
      this.#options.onFatal(error)
    }
  }

  close(): void {
    this.attachments.closeAll('this server stops')
    this.peers.close()
  }

  #host(): Host {
    return {
      committed: (to) => this.#commits.onCommitted(to),
      appended: (entry) => this.leases.appended(entry),
      cut: (to) => this.leases.cut(to),
      restarted: (base) => this.leases.restarted(base),
      recalled: () => this.leases.recalled(),
      providers: () => this.leases.providers(),
      isKept: (provider) => this.leases.isKept(provider),
      roleChanged: () => {
        if (this.#lookPending) return
        this.#lookPending = true
        // In the middle of a step of the replica: it may not be asked anything before that has ended.
        queueMicrotask(() => {
          this.#lookPending = false
          this.#look()
        })
      },
      commitAnswer: (ticket, committed) => this.#commitAnswers.settle(ticket, committed),
      flushAnswer: (ticket, outcome) => this.#flushes.settle(ticket, outcome),
      verifyAnswer: (ticket, answer) => this.verifications.settle(ticket, answer),
    }
  }

  #look(): void {
    const primary = this.replica.primary()
    const leads = primary === this.node
    if (leads !== this.#led) this.#commits.giveUp()
    this.#led = leads
    this.#forwards.onPrimary(leads ? undefined : primary)
    if (primary !== this.#reportedTo) this.reportSessions()
    this.#reportedTo = primary
    this.#watched(this.leases.look())
    this.#watched(this.leader.look().then(() => this.#roles.wake()))
  }

  #askOrphans(round: OrphanRound): void {
    this.attachments.orphanRound = round
    this.reportSessions()
    for (const { node } of this.replica.status().members) {
      if (node !== this.node) this.peers.tell(node, { $case: 'orphanRound', value: round })
    }
  }

  /** Where the session is attached is not asked: one of them has it, or none. */
  #ask(session: bigint, hold: Hold): void {
    const value = { session, hold }
    this.attachments.recallHold(value)
    for (const { node } of this.replica.status().members) {
      if (node !== this.node) this.peers.tell(node, { $case: 'recallHold', value })
    }
  }

  #onFileServer(from: NodeId, message: FileServerMessage): void {
    switch (message.$case) {
      case 'forward': {
        const { ticket } = message.value
        const decided = this.leader.decide(handedFrom(message.value), from)
        const answered = decided.then((answer) => {
          this.peers.tell(from, { $case: 'forwardAnswer', value: answerTo(ticket, answer) })
        })
        return this.#watched(answered)
      }
      case 'forwardAnswer':
        return this.#forwards.onAnswer(message.value)
      case 'sessionsAlive':
        return this.#onAlive(from, message.value)
      case 'recallHold':
        return this.attachments.recallHold(message.value)
      case 'orphanRound':
        if (from === this.replica.primary()) this.attachments.orphanRound = message.value
        return
    }
  }

  /** While the store lags behind its journal, new changes wait. */
  #room(): Promise<void> | undefined {
    if (!this.store.backlog().over) return undefined
    return new Promise((resolve) => setTimeout(resolve, backlogMs))
  }

  #watched(work: Promise<unknown>): void {
    work.catch((error: unknown) => this.#options.onFatal(error))
  }
}
