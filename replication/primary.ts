import assert from 'node:assert/strict'
import type { Epoch, Incarnation, NodeId, Seq } from '../proto/ids.ts'
import { answerAttach } from './attachments.ts'
import { type Core, send } from './core.ts'
import type { Entry } from './entry.ts'
import { Flushes } from './flushes.ts'
import type { Grants } from './grants.ts'
import { InSyncSet } from './in-sync-set.ts'
import { giverWaits } from './lease.ts'
import { Member } from './member.ts'
import type { Ack, CommitQuery, Envelope, HeartbeatReply, Message } from './message.ts'
import type { Ms } from './ports.ts'
import { isDrained, type VolumeRecord } from './record.ts'
import { SliceSource } from './slice-source.ts'
import { Verifications } from './verifications.ts'
import type { WorkItem } from './work.ts'

/** A flush that is not answered after so many retries is asked for again. */
const flushPatience = 6

/**
 * One reign: from the record that made this process primary until it hears of a later one. PacificA (MSR-TR-2008-25,
 * section 2), with the in-sync set as the replica group.
 */
export class Primary {
  readonly #core: Core
  /** The epoch the reign began with. What was said to us since then was said to this reign. */
  readonly #since: Epoch
  readonly #members = new Map<NodeId, Member>()
  readonly #set: InSyncSet
  readonly #flushes: Flushes
  readonly #verifications: Verifications
  readonly #slices: SliceSource
  /** The reign was won by the longest journal after everybody had lost power: the others are compared whole (R12). */
  readonly #recovered: boolean
  /** The entry that marks the epoch: nothing is served before it is committed (R6). */
  #mark: Seq | undefined
  #beatAt: Ms = Number.NEGATIVE_INFINITY
  #handingTo: NodeId | undefined
  #tickedAt: Ms

  constructor(core: Core, record: VolumeRecord, how: Parameters<Grants['begin']>[0]) {
    this.#core = core
    this.#since = record.epoch
    this.#recovered = how.recovered
    this.#tickedAt = core.ports.clock.now()
    this.#set = new InSyncSet(core, this.#members)
    this.#set.grants.begin(how)
    this.#flushes = new Flushes(core, this.#members, this.#set)
    this.#verifications = new Verifications(core, this.#members)
    this.#slices = new SliceSource(core, (why) => this.#damaged(why))
    this.#admitMembers(record)
    core.ports.log('reign.begins', { epoch: record.epoch, last: core.journal.last.seq, inSync: record.inSync })
    this.#writeMark()
  }

  get since(): Epoch {
    return this.#since
  }
  get members(): ReadonlyMap<NodeId, Member> {
    return this.#members
  }
  get recovered(): boolean {
    return this.#recovered
  }

  /** The reign's first entry is committed, so everything that the one before may have shown is (R6). */
  established(): boolean {
    return this.#mark !== undefined && this.#core.journal.committed >= this.#mark
  }

  /** R13: nobody who might take over does so before this. */
  leaseUntil(): Ms {
    let end = Number.POSITIVE_INFINITY
    for (const node of this.#set.heirs()) end = Math.min(end, this.#members.get(node)?.promiseUntil ?? 0)
    return end
  }

  mayRead(): boolean {
    const handedOver =
      this.#core.swapper.pending !== undefined && this.#core.swapper.pending.primary !== this.#core.self.node
    return this.established() && !handedOver && this.#core.ports.clock.now() < this.leaseUntil()
  }

  mayChange(): boolean {
    return this.established() && this.#handingTo === undefined
  }

  propose(body: Uint8Array): Seq | 'full' {
    const entry = this.#core.journal.next(this.#core.journal.epoch, body)
    if (this.#core.journal.append(entry) === 'full') return 'full'
    this.#sendOut(entry)
    return entry.seq
  }

  /** Clients of this process have let go of more. */
  onRecalled(): void {
    this.#advance()
  }

  flush(ticket: number): void {
    this.#flushes.ask(ticket)
  }

  verify(ticket: number, item: WorkItem, detail: boolean): void {
    this.#verifications.ask(ticket, item, detail)
  }

  /** That mirror leaves the set and fetches these items, as well as whatever it misses by then. */
  bringOver(node: NodeId, work: readonly WorkItem[]): void {
    this.#set.bringOver(node, work)
  }

  handOver(to: NodeId): void {
    if (!this.#set.mirrors().includes(to) || this.#handingTo !== undefined) return
    this.#handingTo = to
    this.#core.ports.log('reign.hands-over', { to })
    this.#core.ports.host.roleChanged()
    this.#finishHandOver()
  }

  onTick(): void {
    this.#forgiveOwnPause()
    if (this.#mark === undefined) this.#writeMark()
    if (this.#core.ports.clock.now() - this.#beatAt >= this.#core.timing.heartbeat) this.#beat()
    for (const member of this.#members.values()) {
      member.pump()
      member.announce()
      member.remindOfFlush(flushPatience * this.#core.timing.retry)
    }
    this.#slices.onTick(this.#members.values())
    this.#verifications.onTick()
    this.#set.onTick()
    const record = this.#core.record()?.record
    if (record !== undefined) this.#forgetRemoved(record)
    this.#makeWay()
    this.#advance()
  }

  onRecord(record: VolumeRecord): void {
    this.#set.onRecord(record)
    this.#admitMembers(record)
    if (this.#core.swapper.pending === undefined && this.#handingTo !== undefined) this.#finishHandOver()
    this.#verifications.onSetChanged()
    this.#set.onTick()
    this.#advance()
  }

  onDeath(): void {
    this.#set.onTick()
    this.#advance()
  }

  onMessage(from: NodeId, message: Message): void {
    const member = this.#members.get(from)
    if (member === undefined || message.epoch < this.#since) return
    if (message.kind === 'attach') {
      if (this.#isLate(member, message.incarnation)) return
      answerAttach(this.#core, this, this.#set, member, message)
      if (member.mode === 'following') this.#verifications.onAttached(from)
      this.#advance()
      return
    }
    if (member.incarnation !== undefined && member.incarnation !== message.incarnation) return
    if (message.kind === 'heartbeatReply') this.#onReply(member, message)
    else if (message.kind === 'commitQuery') this.#answerQuery(from, message)
    else if (message.kind === 'leave') this.#set.leave(member, message.reason)
    else if ('attempt' in message && message.attempt === member.attempt && member.mode !== 'absent') {
      this.#onAttached(member, message)
    }
  }

  /** While we stood still, nobody could make himself heard: what came meanwhile is still to be read. */
  #forgiveOwnPause(): void {
    const now = this.#core.ports.clock.now()
    const pause = now - this.#tickedAt
    this.#tickedAt = now
    if (pause < this.#core.timing.heartbeat) return
    for (const member of this.#members.values()) {
      member.lastHeard = Math.min(now, member.lastHeard + pause)
      member.ackedAt = Math.min(now, member.ackedAt + pause)
    }
  }

  /** The reign is over: whoever waits for something of it is told. */
  end(): void {
    this.#core.ports.log('reign.ends', { since: this.#since, epoch: this.#core.journal.epoch })
    this.#flushes.end()
    this.#verifications.end()
    for (const member of this.#members.values()) member.detach()
  }

  checkInvariants(): void {
    const { journal } = this.#core
    for (const member of this.#members.values()) {
      assert(member.acked <= journal.last.seq, 'an entry was acknowledged that was never written')
      assert(member.mode === 'absent' || member.sent <= journal.last.seq, 'an entry was sent that was never written')
    }
    for (const member of this.#members.values()) {
      // What was committed before a member attached to this reign is in its journal all the same: it was in the set. Who has
      // left it, and is waited for, may have come back with an empty disk.
      const known = member.mode !== 'absent' && this.established() && this.#set.counts(member.node)
      assert(
        !known || member.acked >= Math.min(journal.committed, this.#mark ?? 0),
        'committed without a member of the set',
      )
    }
  }

  /** Everybody in the set has it: that is what committed means (R4). */
  #advance(): void {
    const { journal, ports } = this.#core
    const before = journal.committed
    const committable = this.#set.committable()
    if (committable > before) {
      journal.commit(committable)
      ports.host.committed(committable)
      if (this.#mark !== undefined && before < this.#mark && committable >= this.#mark) this.#established()
    }
    this.#flushes.settle()
    this.#set.grow()
    if (this.#handingTo !== undefined) this.#finishHandOver()
    ports.storage.retain(this.#retained())
  }

  #established(): void {
    this.#core.ports.log('reign.established', { epoch: this.#core.journal.epoch, mark: this.#mark })
    this.#core.ports.host.roleChanged()
    this.#beat()
  }

  /** R6: the whole own journal, and an entry that marks where the epoch begins. */
  #writeMark(): void {
    const entry = this.#core.journal.next(this.#core.journal.epoch, new Uint8Array(0))
    if (this.#core.journal.append(entry) === 'full') return
    this.#mark = entry.seq
    this.#set.reignBegins(entry.seq)
    this.#sendOut(entry)
  }

  #sendOut(entry: Entry): void {
    for (const member of this.#members.values()) {
      if (member.acked === entry.seq - 1) member.ackedAt = this.#core.ports.clock.now()
      member.offer(entry)
    }
    if (this.#set.mirrors().length === 0) this.#advance()
  }

  #retained(): Seq {
    let from = this.#core.journal.last.seq + 1
    for (const member of this.#members.values()) {
      if (member.mode !== 'absent') from = Math.min(from, member.acked + 1)
      if (member.collecting !== undefined) from = Math.min(from, member.collecting.from + 1)
    }
    return from as Seq
  }

  #admitMembers(record: VolumeRecord): void {
    const { ports, self, timing, journal } = this.#core
    // What the reign before granted is not known here: it ends this much later at the latest.
    const knownUntil = ports.clock.now() + giverWaits(timing.mirrorLease, timing)
    for (const node of [...record.members, ...record.inSync]) {
      if (node === self.node || this.#members.has(node)) continue
      this.#members.set(node, new Member(node, ports, self, journal, knownUntil))
    }
    this.#forgetRemoved(record)
  }

  /** Whoever is in the set still, or has left it and may answer reads for a while, is waited for. */
  #forgetRemoved(record: VolumeRecord): void {
    for (const node of this.#members.keys()) {
      if (record.members.includes(node) || this.#set.counts(node) || this.#set.lingers(node)) continue
      this.#members.delete(node)
      this.#core.ports.log('mirror.forgotten', { node })
    }
  }

  #beat(): void {
    const now = this.#core.ports.clock.now()
    this.#beatAt = now
    for (const member of this.#members.values()) {
      const leaseMs = this.#lease(member, now)
      if (leaseMs > 0) this.#granted(member, now + giverWaits(leaseMs, this.#core.timing))
      send(this.#core, member.node, {
        kind: 'heartbeat',
        sentAt: now,
        to: member.incarnation ?? ('' as Incarnation),
        attempt: member.mode === 'absent' ? 0 : member.attempt,
        number: member.number,
        echo: member.heardSentAt,
        leaseMs,
        committed: this.#core.journal.committed,
      })
    }
  }

  #granted(member: Member, until: Ms): void {
    member.grantedUntil = Math.max(member.grantedUntil, until)
    const { incarnation, node } = member
    if (incarnation !== undefined) this.#set.grants.give({ node, incarnation }, until)
  }

  /** Nobody grants beyond the end of what it holds itself (S19), nor to a process the record does not name (S20). */
  #lease(member: Member, now: Ms): Ms {
    if (member.heardSentAt === 0 || member.mode !== 'following' || !this.established()) return 0
    const record = this.#core.record()?.record
    if (record !== undefined && isDrained(record, member.node)) return 0
    if (!this.#set.holds(member) || member.acked < (this.#mark ?? 0) || this.#core.swapper.pending !== undefined)
      return 0
    return Math.max(0, Math.min(this.#core.timing.mirrorLease, this.leaseUntil() - now))
  }

  #isLate(member: Member, incarnation: Incarnation): boolean {
    return this.#core.deaths.has(member.node, incarnation)
  }

  #onReply(member: Member, reply: HeartbeatReply & Envelope): void {
    if (this.#isLate(member, reply.incarnation)) return
    const now = this.#core.ports.clock.now()
    member.lastHeard = now
    if (member.incarnation === reply.incarnation) member.heardSentAt = Math.max(member.heardSentAt, reply.sentAt)
    if (reply.promiseMs > 0) member.promiseUntil = Math.max(member.promiseUntil, reply.echo + reply.promiseMs)
    member.space = reply.space
    member.applied = reply.applied
    member.progress = reply.progress
    if (member.mode === 'absent' || reply.attempt !== member.attempt || member.incarnation !== reply.incarnation) return
    member.durable = Math.max(member.durable, reply.durable) as Seq
    this.#onAck(member, reply)
  }

  #onAck(member: Member, { last, recalled }: Pick<Ack, 'last' | 'recalled'>): void {
    if (last > member.sent) return this.#set.leave(member, 'it acknowledged an entry that was never sent')
    member.onAcked(last)
    member.recalled = Math.max(member.recalled, recalled) as Seq
    member.pump()
    this.#advance()
  }

  #onAttached(member: Member, message: Message): void {
    member.lastHeard = this.#core.ports.clock.now()
    if (message.kind === 'ack') this.#onAck(member, message)
    else if (message.kind === 'verified') this.#verifications.onVerified(member.node, message)
    else if (message.kind === 'fetch') {
      member.fetch = message
      this.#slices.serve(member)
    } else if (message.kind === 'flushed') {
      this.#flushes.onFlushed(member, message.durable)
      this.#advance()
    } else if (message.kind === 'caughtUp') {
      if (!this.#set.isOnDisk(member)) member.askFlush(0)
      member.caughtUp = true
      member.mode = 'following'
      this.#advance()
    }
  }

  /** An answer from a primary that may not read itself would not count (R18). */
  #answerQuery(from: NodeId, { incarnation, ticket }: CommitQuery & Envelope): void {
    if (!this.mayRead()) return
    send(this.#core, from, { kind: 'commitAnswer', to: incarnation, ticket, committed: this.#core.journal.committed })
  }

  /** Drained, and somebody else can lead. */
  #makeWay(): void {
    const record = this.#core.record()?.record
    if (record === undefined || !isDrained(record, this.#core.self.node) || this.#handingTo !== undefined) return
    const heir = this.#set.mirrors().find((node) => !isDrained(record, node) && this.#follows(node))
    if (heir === undefined) return
    this.#core.ports.log('reign.makes-way', { to: heir })
    this.handOver(heir)
  }

  #follows(node: NodeId): boolean {
    const member = this.#members.get(node)
    return member?.mode === 'following' && member.leaving === undefined
  }

  #finishHandOver(): void {
    const { journal, swapper } = this.#core
    const to = this.#handingTo
    if (to === undefined || swapper.pending !== undefined) return
    if (!this.#set.mirrors().includes(to)) {
      this.#handingTo = undefined
      this.#core.ports.host.roleChanged()
      return
    }
    if (journal.committed === journal.last.seq && this.established()) this.#set.handOver(to)
  }

  /** A primary whose own copy fails its checksum is no source: a mirror whose copy may be whole takes its place (S15). */
  #damaged(why: WorkItem): void {
    this.#core.ports.log('slice.damaged', { item: why })
    const heir = this.#set.mirrors().find((node) => this.#follows(node))
    if (heir !== undefined) this.handOver(heir)
  }
}
