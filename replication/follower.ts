import assert from 'node:assert/strict'
import type { Epoch, Incarnation, NodeId, Seq } from '../proto/ids.ts'
import { type Core, recalledBy, send } from './core.ts'
import { assertFlushed } from './flushed.ts'
import { giverWaits } from './lease.ts'
import type {
  Attached,
  CommitAnswer,
  Envelope,
  Heartbeat,
  Message,
  StreamContent,
  StreamMessage,
  Wholeness,
} from './message.ts'
import type { Ms } from './ports.ts'
import type { VolumeRecord } from './record.ts'
import { ResyncTarget, type Trouble } from './resync-target.ts'
import { type WorkItem, workFor } from './work.ts'

/** Whom we follow: one process, since one epoch. A later epoch of the same process is the same reign. */
interface Leader {
  readonly node: NodeId
  readonly incarnation: Incarnation
  readonly since: Epoch
}

/** Stream messages that came too early, kept until those before them come. */
const earlyMax = 256
/** So many retries without progress, though there should be some, and the member attaches anew. */
const patience = 3
/** To ask again makes the answer to the question before count no more: each time it is waited longer, up to so many retries. */
const askRetriesMax = 4
/** A member whose disk is full looks again after so many retries. */
const fullRetries = 4

/** No process asks so often; 2^21 openings of a store leave the numbers safe integers. */
const attemptsPerOpening = 2 ** 32

/** A member that is not primary: mirror of the set, or on its way into it. */
export class Follower {
  readonly #core: Core
  readonly #target: ResyncTarget
  #leader: Leader | undefined
  /** Greater than any of an earlier process on this store. */
  #attempt: number
  #attached = false
  #askedAt: Ms = Number.NEGATIVE_INFINITY
  /** Questions since the last answer. */
  #asks = 0
  #blockedUntil: Ms = Number.NEGATIVE_INFINITY
  /** Last stream message taken, and when it was found that the primary had sent more. */
  #number = 0
  #early = new Map<number, StreamMessage & Envelope>()
  #behindSince: Ms | undefined
  #durable = 0 as Seq
  #leaseUntil: Ms = Number.NEGATIVE_INFINITY
  /** Before this we do not take over: we said so to a primary, perhaps before we were started anew (R13). */
  #promisedUntil: Ms
  #heardAt: Ms
  #amnesia: boolean
  #everything = false

  constructor(core: Core) {
    this.#core = core
    this.#target = new ResyncTarget(
      core,
      (what) => this.#onTrouble(what),
      (upTo) => this.#onFlushed(upTo),
    )
    const { amnesia, last } = core.ports.storage.opened
    // An empty store has what was committed only where nothing was: until that is known it counts as one that lost it (R12).
    this.#amnesia = amnesia || last.seq === 0
    this.#attempt = core.ports.storage.opened.opening * attemptsPerOpening
    this.#heardAt = core.ports.clock.now()
    this.#promisedUntil = this.#heardAt + giverWaits(core.timing.primaryLease, core.timing)
  }

  get leader(): NodeId | undefined {
    return this.#leader?.node
  }
  /** What may be said of this member's journal and state. */
  get has(): Wholeness {
    if (this.#core.ports.storage.resync() !== undefined) return 'parts'
    return this.#amnesia ? 'a beginning' : 'everything'
  }
  /** Before this we do not take over, as we have said to those who led us. */
  get promisedUntil(): Ms {
    return this.#promisedUntil
  }
  get attached(): boolean {
    return this.#attached
  }

  /** Checked before each answer: a process that was stopped meanwhile finds its lease over (R13). */
  mayRead(): boolean {
    return this.#attached && this.#core.ports.clock.now() < this.#leaseUntil
  }

  /** How long from now on this member may answer reads. */
  leaseLeft(): Ms {
    return this.#attached ? Math.max(0, this.#leaseUntil - this.#core.ports.clock.now()) : 0
  }

  /** Nothing it lacks: its journal has every committed entry, its state all that it applied. */
  isWhole(): boolean {
    return this.has === 'everything'
  }

  /** Nobody can be told anything by that primary any more: its process ended, or its time with us is over (R13). */
  isForsaken(record: VolumeRecord): boolean {
    const { node } = this.#core.self
    const { primary } = record
    if (primary === undefined) return true
    const reigning = record.incarnations[primary]
    if (primary === node) return true // an earlier process of ours, or a reign that we have given up (S20)
    if (this.#core.deaths.has(primary, reigning)) return true
    const now = this.#core.ports.clock.now()
    return now >= this.#promisedUntil && now - this.#heardAt > this.#core.timing.silence
  }

  /** We are nobody's primary any more: as if started anew, but for what is in the journal. */
  resume(): void {
    this.#leader = undefined
    this.#detach()
    this.#heardAt = this.#core.ports.clock.now()
    this.#promisedUntil = this.#heardAt + giverWaits(this.#core.timing.primaryLease, this.#core.timing)
  }

  /** Our own journal is what counts from now on (R12). */
  lead(): void {
    this.#amnesia = false
    this.#leader = undefined
    this.#detach()
  }

  /** Attach anew and have everything compared. */
  compareEverything(): void {
    this.#everything = true
    this.#reattach('everything is to be compared')
  }

  onRecord(record: VolumeRecord): void {
    const { primary } = record
    if (record.epoch === 0 && !this.#core.ports.storage.opened.amnesia) this.#amnesia = false // nobody has begun
    if (primary === undefined || primary === this.#core.self.node || record.epoch < this.#core.journal.epoch) return
    const incarnation = record.incarnations[primary]
    if (incarnation === undefined) return
    if (this.#leader?.node !== primary || this.#leader.incarnation !== incarnation) {
      this.#follow({ node: primary, incarnation, since: record.epoch })
    }
  }

  onTick(): void {
    const now = this.#core.ports.clock.now()
    this.#target.onTick()
    if (
      this.#attached &&
      this.#behindSince !== undefined &&
      now - this.#behindSince > patience * this.#core.timing.retry
    ) {
      this.#reattach('messages of the stream were lost')
    }
    const askAgain = Math.min(this.#asks, askRetriesMax) * this.#core.timing.retry
    if (!this.#attached && now - this.#askedAt >= askAgain) this.#ask()
  }

  onMessage(from: NodeId, message: Message): void {
    if (message.kind === 'heartbeat') return this.#onHeartbeat(from, message)
    if (!this.#isFromLeader(from, message)) return this.#refuseOld(from, message)
    this.#core.journal.adopt(message.epoch)
    if (message.kind === 'attached') this.#onAttached(message)
    else if (message.kind === 'stream') this.#onStream(message)
    else if (message.kind === 'commitAnswer') this.#onCommitAnswer(message)
  }

  /** Clients have let go of more. */
  onRecalled(): void {
    if (this.#attached) this.#acknowledge()
  }

  askCommit(ticket: number): void {
    if (this.#leader === undefined) return this.#core.ports.host.commitAnswer(ticket, undefined)
    send(this.#core, this.#leader.node, { kind: 'commitQuery', ticket })
  }

  checkInvariants(): void {
    assert(!this.#attached || this.#leader !== undefined, 'attached to nobody')
    assert(!this.mayRead() || this.isWhole(), 'a member that lacks something may read')
  }

  #isFromLeader(from: NodeId, message: Message): boolean {
    const leader = this.#leader
    return leader?.node === from && leader.incarnation === message.incarnation && message.epoch >= leader.since
  }

  /** R5: who speaks for an older epoch is told so, and stops. */
  #refuseOld(from: NodeId, message: Message): void {
    const claims = message.kind === 'stream' || message.kind === 'attached' || message.kind === 'heartbeat'
    if (claims && message.epoch < this.#core.journal.epoch) send(this.#core, from, { kind: 'refused' })
  }

  #onHeartbeat(from: NodeId, beat: Heartbeat & Envelope): void {
    if (!this.#isFromLeader(from, beat)) {
      if (!this.#mayLead(from, beat)) return this.#refuseOld(from, beat)
      this.#follow({ node: from, incarnation: beat.incarnation, since: beat.epoch })
    }
    const { clock, storage } = this.#core.ports
    const now = clock.now()
    this.#core.journal.adopt(beat.epoch)
    this.#heardAt = now
    if (beat.to === this.#core.self.incarnation) this.#onOwnBeat(beat, now)
    else if (this.#attached) this.#fallBehind(now) // it has begun another reign, which does not know of us
    // While we ask the directory to make us primary, nothing may be promised to another.
    const promiseMs = this.#core.swapper.pending === undefined ? this.#core.timing.primaryLease : 0
    if (promiseMs > 0)
      this.#promisedUntil = Math.max(this.#promisedUntil, now + giverWaits(promiseMs, this.#core.timing))
    send(this.#core, from, {
      kind: 'heartbeatReply',
      sentAt: now,
      echo: beat.sentAt,
      promiseMs,
      attempt: this.#attached ? this.#attempt : 0,
      last: this.#core.journal.last.seq,
      recalled: recalledBy(this.#core),
      durable: this.#durable,
      applied: this.#core.journal.committed,
      progress: storage.resync()?.progress,
      space: storage.space(),
    })
  }

  #onOwnBeat(beat: Heartbeat & Envelope, now: Ms): void {
    if (!this.#attached) return
    if (beat.attempt !== this.#attempt) return this.#fallBehind(now)
    if (beat.leaseMs > 0) this.#leaseUntil = Math.max(this.#leaseUntil, beat.echo + beat.leaseMs)
    if (beat.number > this.#number) this.#fallBehind(now)
    else this.#behindSince = undefined
    const leader = this.#leader
    const outside = !this.#core.record()?.record.inSync.includes(this.#core.self.node)
    if (this.#target.done && outside && leader !== undefined) {
      send(this.#core, leader.node, { kind: 'caughtUp', attempt: this.#attempt })
    }
  }

  #fallBehind(now: Ms): void {
    this.#behindSince ??= now
  }

  /** A heartbeat is believed when its epoch is new to us, or is the record's and names the record's primary. */
  #mayLead(from: NodeId, beat: Heartbeat & Envelope): boolean {
    const record = this.#core.record()?.record
    if (beat.epoch < this.#core.journal.epoch || this.#core.deaths.has(from, beat.incarnation)) return false
    if (record !== undefined && record.epoch === beat.epoch) {
      return record.primary === from && record.incarnations[from] === beat.incarnation
    }
    return beat.epoch > this.#core.journal.epoch || this.#leader === undefined
  }

  #follow(leader: Leader): void {
    this.#core.ports.log('follows', { leader: leader.node, since: leader.since })
    this.#core.journal.adopt(leader.since)
    this.#leader = leader
    this.#asks = 0
    this.#heardAt = this.#core.ports.clock.now()
    this.#detach()
    this.#ask()
  }

  #detach(): void {
    this.#attached = false
    this.#leaseUntil = Number.NEGATIVE_INFINITY
    this.#early.clear()
    this.#behindSince = undefined
    this.#target.stop()
    this.#core.ports.host.roleChanged()
  }

  #reattach(why: string): void {
    this.#core.ports.log('reattaches', { why })
    this.#detach()
    this.#ask()
  }

  /** The lease was let go of before, in `#detach`: the primary relies on that. */
  #ask(): void {
    const now = this.#core.ports.clock.now()
    if (this.#leader === undefined || now < this.#blockedUntil) return
    const { journal } = this.#core
    const { opened } = this.#core.ports.storage
    this.#askedAt = now
    this.#asks += 1
    this.#attempt += 1
    this.#early.clear()
    send(this.#core, this.#leader.node, {
      kind: 'attach',
      attempt: this.#attempt,
      last: journal.last,
      base: journal.base,
      history: journal.history,
      applied: this.#amnesia ? opened.applied : journal.committed,
      durable: opened.durable,
      amnesia: this.#amnesia,
      resyncing: this.#core.ports.storage.resync() !== undefined,
      everything: this.#everything,
    })
  }

  #onAttached(message: Attached & Envelope): void {
    if (this.#attached || message.attempt !== this.#attempt || this.#leader === undefined) return
    const { journal } = this.#core
    if (message.mode === 'resync') this.#beginResync(message)
    else if (message.from >= journal.committed && message.from <= journal.last.seq) {
      this.#cut(message.from)
      if (this.#amnesia) this.#core.ports.storage.trustJournal() // it is empty: what comes now is all of it
      this.#amnesia = false
    } else return this.#core.ports.log('attached.refused', { from: message.from, committed: journal.committed })
    this.#attached = true
    this.#asks = 0
    this.#number = 0
    this.#target.start(this.#leader.node, this.#attempt)
    this.#core.ports.host.roleChanged()
    this.#takeInOrder()
  }

  /** What was flushed of the tail that goes says nothing about what will stand in its place. */
  #cut(to: Seq): void {
    this.#core.journal.cut(to)
    this.#durable = Math.min(this.#durable, to) as Seq
  }

  /** From here on nothing of this member counts before the resync is complete, and its disk says so first (R36). */
  #beginResync({ base, from, history, work }: Attached): void {
    const { journal, ports } = this.#core
    // What both sides have is ours to apply, but only as far as it is committed: the rest comes again, after the base.
    const kept = Math.min(from, base.seq) as Seq
    const own: readonly WorkItem[] = workFor(ports.storage.touchedInTail(kept))
    if (!this.#amnesia && kept >= journal.committed && kept <= journal.last.seq) {
      journal.cut(kept)
      journal.commit(kept)
    }
    ports.storage.beginResync(base, history, [...work, ...own])
    journal.restart(base, history)
    ports.host.committed(base.seq)
    this.#durable = 0 as Seq
    this.#amnesia = false
    this.#everything = false
    ports.log('resync.begins', { from, base: base.seq, items: work.length + own.length })
  }

  #onStream(message: StreamMessage & Envelope): void {
    if (message.attempt !== this.#attempt || (this.#attached && message.number <= this.#number)) return
    if (this.#early.size < earlyMax) this.#early.set(message.number, message)
    this.#takeInOrder()
  }

  /** What has overtaken others, or the answer to our question to attach, waits for them. */
  #takeInOrder(): void {
    let next = this.#early.get(this.#number + 1)
    while (next !== undefined && this.#attached) {
      this.#early.delete(next.number)
      this.#number = next.number
      this.#behindSince = undefined
      this.#take(next)
      next = this.#early.get(this.#number + 1)
    }
  }

  #take(message: StreamMessage & Envelope): void {
    const { content } = message
    if (content.kind === 'entries' && !this.#append(content)) return
    this.#commit(message.committed)
    if (content.kind === 'flush') this.#flush(content.ticket)
    else if (content.kind === 'slice') this.#target.onSlice(content.ticket, content.slice)
    else if (content.kind === 'verify') this.#verify(content)
  }

  #append(content: Extract<StreamContent, { kind: 'entries' }>): boolean {
    const { journal } = this.#core
    for (const entry of content.entries) {
      if (entry.seq !== journal.last.seq + 1 || !journal.continues(entry)) {
        this.#leave(`entry ${entry.seq} does not continue the journal, which ends at ${journal.last.seq}`)
        return false
      }
      if (journal.append(entry) === 'full') {
        this.#onTrouble('full')
        return false
      }
    }
    this.#acknowledge()
    return true
  }

  #acknowledge(): void {
    const last = this.#core.journal.last.seq
    this.#toLeader({ kind: 'ack', attempt: this.#attempt, last, recalled: recalledBy(this.#core) })
  }

  #commit(committed: Seq): void {
    const { journal, ports } = this.#core
    const to = Math.min(committed, journal.last.seq) as Seq
    if (to <= journal.committed) return
    journal.commit(to)
    ports.host.committed(to)
  }

  #flush(ticket: number): void {
    const attempt = this.#attempt
    this.#core.ports.storage.flush((outcome, upTo) => {
      assertFlushed(outcome)
      if (attempt !== this.#attempt) return
      this.#onFlushed(upTo)
      this.#toLeader({ kind: 'flushed', attempt, ticket, durable: this.#durable })
    })
  }

  #onFlushed(upTo: Seq): void {
    this.#durable = Math.max(this.#durable, upTo) as Seq
  }

  #verify({ ticket, item, detail }: Extract<StreamContent, { kind: 'verify' }>): void {
    const at = this.#core.journal.committed
    const attempt = this.#attempt
    this.#core.ports.storage.digest(item, { detail }, (digest) => {
      if (attempt === this.#attempt) this.#toLeader({ kind: 'verified', attempt, ticket, at, digest })
    })
  }

  #onCommitAnswer({ to, ticket, committed }: CommitAnswer): void {
    if (to !== this.#core.self.incarnation) return
    if (this.#attached) this.#commit(committed)
    this.#core.ports.host.commitAnswer(ticket, committed)
  }

  #onTrouble(what: Trouble): void {
    if (what === 'torn') return this.#reattach('a slice came out of its place')
    this.#blockedUntil = this.#core.ports.clock.now() + fullRetries * this.#core.timing.retry
    this.#leave('its disk is full')
  }

  #leave(reason: string): void {
    this.#core.ports.log('leaves', { reason })
    this.#toLeader({ kind: 'leave', reason })
    this.#detach()
  }

  #toLeader(content: Parameters<typeof send>[2]): void {
    if (this.#leader !== undefined) send(this.#core, this.#leader.node, content)
  }
}
