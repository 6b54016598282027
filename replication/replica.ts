import assert from 'node:assert/strict'
import type { Epoch, Incarnation, NodeId, Seq } from '../proto/ids.ts'
import { type Core, send } from './core.ts'
import { Deaths } from './deaths.ts'
import type { Position } from './entry.ts'
import { Follower } from './follower.ts'
import { epochAt, type Standing, standing } from './history.ts'
import { Journal } from './journal.ts'
import type { Message } from './message.ts'
import type { Ms, Ports, Self, Timing } from './ports.ts'
import { Primary } from './primary.ts'
import type { Versioned, VolumeRecord } from './record.ts'
import { takenOver } from './record-changes.ts'
import { Recovery } from './recovery.ts'
import { type ReplicaStatus, roleOf, statusOf } from './status.ts'
import { Swapper } from './swapper.ts'
import { everything, type WorkItem } from './work.ts'

/**
 * One member of one volume: knows which role it has, and hands every event to it. Pure: what it does not reach through
 * its ports does not exist for it. Every method runs to its end before the next event.
 */
export class Replica {
  readonly #core: Core
  readonly #follower: Follower
  readonly #recovery: Recovery
  #record: Versioned | undefined
  #primary: Primary | undefined
  /** The last epoch that we reigned in: a record that names us in an older one is of a reign that is over. */
  #reigned = 0 as Epoch
  #readAt: Ms = Number.NEGATIVE_INFINITY
  #recordAt: Ms = 0
  /** The swap under way was started because our journal is the longest that is left (R12). */
  #recovering = false
  /** Every record since then lets us take over, so every primary since then counts what we promise it. */
  #heirSince: Ms | undefined

  constructor(ports: Ports, self: Self, timing: Timing) {
    const journal = new Journal(ports.storage, ports.host)
    const swapper = new Swapper(ports, self, timing)
    this.#core = { ports, self, timing, journal, swapper, deaths: new Deaths(), record: () => this.#record }
    this.#follower = new Follower(this.#core)
    this.#recovery = new Recovery(this.#core)
  }

  /** First call. Everything before it came from `Storage.opened`. */
  start(): void {
    this.#core.ports.directory.read()
  }

  /** At least each `timing.heartbeat / 3`. */
  onTick(): void {
    this.#core.swapper.onTick()
    if (this.#primary !== undefined) return this.#primary.onTick()
    this.#follower.onTick()
    this.#considerTakeover()
  }

  onMessage(from: NodeId, message: Message): void {
    if (this.#core.deaths.has(from, message.incarnation)) return
    if (message.kind === 'recovering') return this.#recovery.onMessage(from, message, this.#follower.has)
    if (message.kind === 'refused') return this.#onRefused(message.epoch)
    if (message.epoch > this.#core.journal.epoch) this.#readRecord()
    if (this.#primary === undefined) return this.#follower.onMessage(from, message)
    if (message.kind !== 'heartbeat') return this.#primary.onMessage(from, message)
    if (message.epoch < this.#core.journal.epoch) return send(this.#core, from, { kind: 'refused' })
    this.#stepDown()
    this.#follower.onMessage(from, message)
  }

  /** From a watch, a read or a swap; older versions than one seen before are ignored. */
  onRecord(versioned: Versioned): void {
    if (this.#record !== undefined && versioned.version <= this.#record.version) return
    const { journal, ports, self, swapper } = this.#core
    const { record } = versioned
    this.#noteHeir(versioned)
    this.#record = versioned
    this.#recordAt = ports.clock.now()
    swapper.onRecord(versioned)
    const ours = record.primary === self.node && record.incarnations[self.node] === self.incarnation
    if (!ours && this.#primary !== undefined && record.epoch > this.#reigned) this.#stepDown()
    journal.adopt(record.epoch)
    if (this.#primary !== undefined) {
      this.#reigned = record.epoch
      this.#primary.onRecord(record)
    } else if (ours && record.epoch > this.#reigned) this.#reign(record)
    else this.#follower.onRecord(record)
    if (swapper.pending === undefined) this.#recovering = false
    ports.host.roleChanged()
  }

  /** A supervisor saw that process end (S17). */
  onDeath(node: NodeId, incarnation: Incarnation): void {
    this.#core.deaths.add(node, incarnation)
    if (this.#primary !== undefined) this.#primary.onDeath()
    else this.#considerTakeover()
  }

  /**
   * Primary only: gives the body the next place in the order. It is committed when `Host.committed` has reached the seq,
   * which may be before this returns.
   */
  propose(
    body: Uint8Array,
  ): { readonly outcome: 'proposed'; readonly seq: Seq } | { readonly outcome: 'not primary' | 'full' } {
    if (this.#primary === undefined || !this.#primary.mayChange()) return { outcome: 'not primary' }
    const placed = this.#primary.propose(body)
    return placed === 'full' ? { outcome: 'full' } : { outcome: 'proposed', seq: placed }
  }

  /** Checked before each answer from local state (R13, R18): may this member answer reads from committed state now? */
  mayRead(): boolean {
    return this.#primary?.mayRead() ?? this.#follower.mayRead()
  }

  /** How long from now on, in ms, this member may answer reads if it hears nothing more: nobody leases beyond it (S19). */
  leaseLeft(): Ms {
    if (this.#primary === undefined) return this.#follower.leaseLeft()
    return this.#primary.mayRead() ? this.#primary.leaseUntil() - this.#core.ports.clock.now() : 0
  }

  /** `Host.recalled` has grown, or some client has come to another provider. */
  onRecalled(): void {
    if (this.#primary === undefined) this.#follower.onRecalled()
    else this.#primary.onRecalled()
  }

  /** May this member take changes now? */
  mayChange(): boolean {
    return this.#primary?.mayChange() ?? false
  }

  primary(): NodeId | undefined {
    return this.#primary === undefined ? this.#follower.leader : this.#core.self.node
  }

  get committed(): Seq {
    return this.#core.journal.committed
  }

  /** The whole name of an entry of this member's journal. */
  position(at: Seq): Position {
    return { epoch: epochAt(this.#core.journal.history, at), seq: at }
  }

  /** What a position that a client has seen is to this member. */
  standing(seen: Position): Standing {
    return standing(this.#core.journal.history, this.#core.journal.committed, seen)
  }

  /** Asks the primary how far the commit has come (CRAQ). Answer: `Host.commitAnswer`; none when a message is lost. */
  askCommit(ticket: number): void {
    if (this.#primary === undefined) return this.#follower.askCommit(ticket)
    const { host } = this.#core.ports
    host.commitAnswer(ticket, this.#primary.mayRead() ? this.#core.journal.committed : undefined)
  }

  /** Primary only: all entries up to now on every in-sync disk. Answer: `Host.flushAnswer`. */
  flush(ticket: number): void {
    if (this.#primary === undefined) this.#core.ports.host.flushAnswer(ticket, 'lost')
    else this.#primary.flush(ticket)
  }

  /** Primary only. Answer: `Host.verifyAnswer`. */
  verify(ticket: number, item: WorkItem, options: { readonly detail: boolean }): void {
    if (this.#primary === undefined) this.#core.ports.host.verifyAnswer(ticket, { outcome: 'lost' })
    else this.#primary.verify(ticket, item, options.detail)
  }

  /** Primary only: that mirror leaves the set and fetches these items, with what it missed meanwhile. */
  repair(node: NodeId, work: readonly WorkItem[]): void {
    this.#primary?.bringOver(node, work)
  }

  /** Primary only: that mirror leaves the set and compares everything. */
  resyncFully(node: NodeId): void {
    this.#primary?.bringOver(node, everything)
  }

  /** Primary only: leaves the primary's place to that in-sync mirror, after what is under way. */
  handOver(to: NodeId): void {
    this.#primary?.handOver(to)
  }

  get role(): ReplicaStatus['role'] {
    return roleOf(this.#core, this.#primary, this.#follower)
  }

  status(): ReplicaStatus {
    return statusOf(this.#core, this.#primary, this.#follower)
  }

  /** Throws what is broken. The simulator calls it after every step. */
  checkInvariants(): void {
    this.#core.journal.checkInvariants()
    this.#follower.checkInvariants()
    this.#primary?.checkInvariants()
    assert(this.#primary === undefined || !this.#follower.attached, 'primary, and attached to another')
  }

  #noteHeir({ version, record }: Versioned): void {
    const isHeir = [...record.inSync, ...record.eligible].includes(this.#core.self.node)
    const isNext = version === (this.#record?.version ?? Number.NaN) + 1 // who knows what stood between
    if (!isHeir) this.#heirSince = undefined
    else if (!isNext || this.#heirSince === undefined) this.#heirSince = this.#core.ports.clock.now()
  }

  #reign(record: VolumeRecord): void {
    this.#reigned = record.epoch
    const { promisedUntil } = this.#follower
    this.#follower.lead()
    if (this.#recovering) this.#core.ports.storage.trustJournal()
    this.#primary = new Primary(this.#core, record, {
      recovered: this.#recovering,
      heirSince: this.#heirSince ?? this.#core.ports.clock.now(),
      promisedUntil,
    })
  }

  #stepDown(): void {
    const ended = this.#primary
    this.#primary = undefined
    this.#follower.resume()
    ended?.end()
    this.#core.ports.host.roleChanged()
  }

  /** Somebody follows a later epoch: our own next one, or another's (R5). */
  #onRefused(epoch: Epoch): void {
    if (epoch <= this.#core.journal.epoch) return
    this.#readRecord()
    if (this.#primary !== undefined && this.#core.swapper.pending === undefined) this.#stepDown()
  }

  #readRecord(): void {
    const now = this.#core.ports.clock.now()
    if (now - this.#readAt < this.#core.timing.retry) return
    this.#readAt = now
    this.#core.ports.directory.read()
  }

  /** R11: only who lacks nothing; R13: only after the time it promised; R12: only the longest, if all lost something. */
  #considerTakeover(): void {
    const { self, swapper } = this.#core
    const versioned = this.#record
    if (versioned === undefined) return this.#readRecord()
    if (swapper.pending !== undefined) return
    const { record } = versioned
    if (!record.inSync.includes(self.node) && !record.eligible.includes(self.node)) return
    if (!this.#follower.isForsaken(record)) return
    if (record.epoch < this.#core.journal.epoch) this.#readRecord() // what we know is not the newest
    if (this.#follower.isWhole()) {
      if (this.#isOurTurn(record)) this.#takeOver(versioned)
    } else if (this.#follower.has === 'a beginning') {
      this.#recovery.ask(record, 'a beginning')
      if (this.#recovery.won(record)) this.#takeOver(versioned, 'as the longest journal')
    }
  }

  /** Nobody has a claim on a new volume: its first member takes it, the next ones a moment later. */
  #isOurTurn(record: VolumeRecord): boolean {
    const { clock } = this.#core.ports
    const place = record.inSync.indexOf(this.#core.self.node)
    const before = place === -1 ? record.inSync.length + 1 : record.primary === undefined ? place : 0
    return clock.now() - this.#recordAt >= 2 * before * this.#core.timing.heartbeat
  }

  #takeOver(versioned: Versioned, why?: 'as the longest journal'): void {
    const { journal, self, swapper } = this.#core
    this.#recovering = why !== undefined
    const epoch = (Math.max(versioned.record.epoch, journal.epoch) + 1) as Epoch
    swapper.start(versioned, takenOver(versioned.record, self, epoch))
  }
}
