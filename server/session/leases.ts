import type { Seq } from '../../proto/ids.ts'
import { giverWaits } from '../../replication/lease.ts'
import type { Ms, Timing } from '../../replication/ports.ts'
import { LeaseHolder, type SendRecall } from './lease-holder.ts'
import { Touches } from './touches.ts'

export interface LeasePorts {
  readonly now: () => Ms
  readonly timing: Timing
  /** How long this member may answer reads if it hears nothing more: nobody leases beyond what it holds itself (S19). */
  readonly leaseLeft: () => Ms
  /** Leases of one session: beyond it the oldest are asked back. */
  readonly leasesMax?: number
}

/** Which client asked for an entry, and what it has forgotten by itself before it asked (S4). */
export interface Origin<Session> {
  readonly session: Session
  readonly invalidated: readonly bigint[]
}

export interface LeaseCounts {
  /** Sessions with leases, and all their leases. */
  holders: number
  leases: number
  /** Since the start: messages that asked for leases back, and sessions that let one of them run out. */
  recalls: number
  ranOut: number
}

const standardLeasesMax = 65_536
/** With a question unanswered for so long nothing is prolonged any more, so that all ends soon. */
const patienceMs = 300
/** Who let a recall run out gets no leases for so long, then twice as long (S8). */
const penaltyMs = 30_000
const penaltyMaxMs = 30 * 60_000

/**
 * What this member has leased to the clients attached here, and who is asked to let go of what (R21). A lease is clean and
 * shared and ends by time; nothing is ever flushed for it (S1). `Session` names sessions.
 */
export class Leases<Session> {
  readonly #ports: LeasePorts
  readonly #touches: Touches
  readonly #holders = new Map<Session, LeaseHolder<Session>>()
  readonly #byIno = new Map<bigint, Set<LeaseHolder<Session>>>()
  /** With something to say, or with something said and not answered. */
  readonly #asked = new Set<LeaseHolder<Session>>()
  /** The journal's end. */
  #last: Seq
  readonly #penalties = new Map<Session, { readonly until: Ms; readonly ms: Ms }>()
  #recalls = 0
  #ranOut = 0

  constructor(ports: LeasePorts, journalEnd: Seq) {
    this.#ports = ports
    this.#touches = new Touches(journalEnd)
    this.#last = journalEnd
  }

  /** A session begins a stream: its client has forgotten everything before. undefined: it has said a later hello already. */
  attach(session: Session, attach: bigint, send: SendRecall): LeaseHolder<Session> | undefined {
    const former = this.#holders.get(session)
    if (former !== undefined && former.attach >= attach) return undefined
    if (former !== undefined) this.#remove(former)
    const holder = new LeaseHolder(session, attach, send)
    this.#holders.set(session, holder)
    return holder
  }

  /** The session has said that hello to some member, so its client has forgotten what it had from those before. */
  movedOn(session: Session, attach: bigint): void {
    const holder = this.#holders.get(session)
    if (holder !== undefined && holder.attach < attach) this.#remove(holder)
  }

  /** The stream is gone. What its client may still keep is reckoned with. */
  detach(holder: LeaseHolder<Session>): void {
    if (this.#holders.get(holder.session) !== holder) return
    holder.lostStream()
    if (this.#isOver(holder)) this.#remove(holder)
  }

  /**
   * Leases what an answer is about, which was made from the state of `at`: those of `inos` that no later entry touches.
   * The answer must go out at once, before anything else is done.
   */
  grant(holder: LeaseHolder<Session>, inos: readonly bigint[], at: Seq): bigint[] {
    if (!this.#mayHold(holder) || this.#isOver(holder) || this.#ports.leaseLeft() <= 0) return []
    const given = inos.filter((ino) => this.#touches.untouchedSince(at, ino))
    for (const ino of given) this.#add(holder, ino)
    this.#keepBounded(holder)
    return given
  }

  /** For the answer to a heartbeat: from its sending on, so long, all leases of the session hold. 0: not prolonged. */
  prolong(holder: LeaseHolder<Session>): number {
    const { now, timing } = this.#ports
    if (this.#isOver(holder)) this.#end(holder)
    const since = holder.askedSince()
    if (!this.#mayHold(holder) || (since !== undefined && now() - since > patienceMs)) return 0
    const left = Math.min(this.#ports.leaseLeft(), timing.mirrorLease)
    const leaseMs = Math.floor((left - timing.slack) / (1 + timing.drift))
    if (leaseMs <= 0) return 0
    holder.until = Math.max(holder.until, now() + giverWaits(leaseMs, timing))
    return leaseMs
  }

  /** The client keeps nothing of these any more. */
  dropped(holder: LeaseHolder<Session>, inos: Iterable<bigint>): void {
    for (const ino of inos) if (holder.inos.delete(ino)) this.#unlist(holder, ino)
  }

  /** An entry is in the journal: whoever has leases on what it touches is asked for them, with the next `flush`. */
  appended(at: Seq, inos: ReadonlySet<bigint>, origin: Origin<Session> | undefined): void {
    this.#last = at
    this.#touches.note(at, inos)
    for (const ino of inos) {
      for (const holder of this.#byIno.get(ino) ?? []) {
        if (this.#isOver(holder)) this.#end(holder)
        else if (holder.session === origin?.session && origin.invalidated.includes(ino)) continue
        else this.#ask(holder, [ino], at)
      }
    }
  }

  /** Some client may have leases, or get one. */
  get isUsed(): boolean {
    return this.#holders.size > 0
  }

  /** An entry was appended while nobody had leases: what was read before it is not leased any more. */
  skipped(at: Seq): void {
    this.#last = at
    this.#touches.restart(at)
  }

  cut(to: Seq): void {
    this.#last = to
    this.#touches.cut(to)
  }

  /** What changes while the state is brought over goes by no client's name: all of it is asked back. */
  restarted(base: Seq): void {
    this.#last = base
    this.#touches.restart(base)
    for (const holder of this.#holders.values()) {
      if (holder.inos.size > 0) this.#ask(holder, 'everything', base)
    }
  }

  /** All that was to be asked goes out, one message a client. */
  flush(): void {
    const now = this.#ports.now()
    for (const holder of this.#asked) this.#recalls += holder.flush(now)
  }

  answered(holder: LeaseHolder<Session>, number: bigint): void {
    holder.answered(number)
    this.#settle(holder)
  }

  /** No client keeps anything of what entries up to here change. */
  get recalled(): Seq {
    let least = Number.MAX_SAFE_INTEGER
    for (const holder of this.#asked) least = Math.min(least, (holder.first() ?? Number.MAX_SAFE_INTEGER) - 1)
    return least as Seq
  }

  /** Ends what has run out. */
  onTick(): void {
    const now = this.#ports.now()
    for (const holder of this.#holders.values()) if (this.#isOver(holder)) this.#end(holder)
    for (const [session, { until, ms }] of this.#penalties) if (now > until + 2 * ms) this.#penalties.delete(session)
  }

  counts(): LeaseCounts {
    const counts = { holders: 0, leases: 0, recalls: this.#recalls, ranOut: this.#ranOut }
    for (const { inos } of this.#holders.values()) {
      if (inos.size > 0) counts.holders += 1
      counts.leases += inos.size
    }
    return counts
  }

  #mayHold(holder: LeaseHolder<Session>): boolean {
    const penalty = this.#penalties.get(holder.session)
    if (penalty !== undefined && this.#ports.now() < penalty.until) return false
    return holder.entitled && holder.isAttached && this.#holders.get(holder.session) === holder
  }

  #isOver(holder: LeaseHolder<Session>): boolean {
    return this.#ports.now() >= holder.until
  }

  /** Its time is over. Who was asked, and could have answered, made others wait for nothing. */
  #end(holder: LeaseHolder<Session>): void {
    if (!holder.isAttached) return this.#remove(holder)
    if (holder.until === Number.NEGATIVE_INFINITY) return
    if (holder.isAwaited) this.#punish(holder.session)
    const had = holder.inos.size > 0 || !holder.isIdle
    this.#forget(holder)
    // By its own clock it is over as well. Nothing is given before it has said so.
    if (had) this.#ask(holder, 'everything', undefined)
  }

  #punish(session: Session): void {
    const ms = Math.min((this.#penalties.get(session)?.ms ?? penaltyMs / 2) * 2, penaltyMaxMs)
    this.#penalties.set(session, { until: this.#ports.now() + ms, ms })
    this.#ranOut += 1
  }

  #add(holder: LeaseHolder<Session>, ino: bigint): void {
    holder.inos.delete(ino) // it becomes the newest
    holder.inos.add(ino)
    const holders = this.#byIno.get(ino)
    if (holders === undefined) this.#byIno.set(ino, new Set([holder]))
    else holders.add(holder)
  }

  #keepBounded(holder: LeaseHolder<Session>): void {
    const { leasesMax = standardLeasesMax } = this.#ports
    if (holder.inos.size <= leasesMax) return
    const oldest: bigint[] = []
    for (const ino of holder.inos) {
      if (oldest.length >= leasesMax / 8) break
      oldest.push(ino)
    }
    // Whatever comes next may touch one of them while the answer is on its way.
    this.#ask(holder, oldest, (this.#last + 1) as Seq)
  }

  #ask(holder: LeaseHolder<Session>, inos: Iterable<bigint> | 'everything', at: Seq | undefined): void {
    for (const ino of inos === 'everything' ? holder.inos : inos) this.#unlist(holder, ino)
    holder.recall(inos, at)
    this.#asked.add(holder)
  }

  #settle(holder: LeaseHolder<Session>): void {
    if (holder.isIdle) this.#asked.delete(holder)
  }

  #forget(holder: LeaseHolder<Session>): void {
    for (const ino of holder.inos) this.#unlist(holder, ino)
    holder.clear()
    this.#asked.delete(holder)
  }

  #remove(holder: LeaseHolder<Session>): void {
    this.#forget(holder)
    holder.lostStream()
    this.#holders.delete(holder.session)
  }

  #unlist(holder: LeaseHolder<Session>, ino: bigint): void {
    const holders = this.#byIno.get(ino)
    holders?.delete(holder)
    if (holders?.size === 0) this.#byIno.delete(ino)
  }
}
