import type { Incarnation, NodeId, Seq } from '../proto/ids.ts'
import type { Entry } from './entry.ts'
import type { Journal } from './journal.ts'
import type { Attach, Envelope, Fetch, StreamContent } from './message.ts'
import type { Ms, Ports, Self, Space } from './ports.ts'
import type { Progress } from './work.ts'

/** What an attached member is doing: following the stream, or fetching what it missed as well. */
export type Mode = 'absent' | 'following' | 'resyncing'

export interface Collecting {
  readonly from: Seq
  /** The latest of its kind: it asks again and again. */
  attach: Attach & Envelope
}

/** Entry bytes sent to one member and not acknowledged: more wait in the journal until it catches up. */
const windowBytes = 16 << 20
/** Entry bytes read from the journal into one message. */
const chunkBytes = 1 << 20

/** The primary's knowledge of one other member, and the ordered stream to it. */
export class Member {
  readonly node: NodeId
  readonly #ports: Ports
  readonly #self: Self
  readonly #journal: Journal

  incarnation: Incarnation | undefined
  mode: Mode = 'absent'
  /** The member's name for its attachment; grows within an incarnation. */
  attempt = 0
  /** Everything up to here is in its journal, and on its disk. */
  acked = 0 as Seq
  durable = 0 as Seq
  /** Its clients keep nothing of what entries up to here change, as far as it said so in this attachment (S8). */
  recalled = 0 as Seq
  applied = 0 as Seq
  /** When `acked` last grew, or had nowhere to grow. */
  ackedAt: Ms
  lastHeard: Ms
  /** Its clock in its last heartbeat reply, to be echoed. */
  heardSentAt: Ms = 0
  /** It has promised not to take over before. */
  promiseUntil: Ms = 0
  /** It may answer reads until then, as far as we must reckon with it. */
  grantedUntil: Ms
  /** Nothing remains to be fetched. */
  caughtUp = false
  /** Why it must leave the set, if it must. */
  leaving: string | undefined
  /** What it has asked for and was not given yet. */
  fetch: Fetch | undefined
  /** The next of that is being read. */
  reading = false
  /** What it must fetch is being collected: the stream will begin after this entry, as an answer to this question. */
  collecting: Collecting | undefined
  /** A flush was asked of it that it has not answered; another is wanted after it. */
  flushing: 'no' | 'asked' | 'asked, and again' = 'no'
  #flushAskedAt: Ms = 0
  progress: Progress | undefined
  space: Space | undefined

  #number = 0
  #sent = 0 as Seq
  #announced = 0 as Seq
  #inFlight: { readonly seq: Seq; readonly bytes: number }[] = []
  #inFlightBytes = 0

  constructor(node: NodeId, ports: Ports, self: Self, journal: Journal, knownUntil: Ms) {
    this.node = node
    this.#ports = ports
    this.#self = self
    this.#journal = journal
    this.lastHeard = ports.clock.now()
    this.ackedAt = this.lastHeard
    this.grantedUntil = knownUntil
  }

  get number(): number {
    return this.#number
  }
  get sent(): Seq {
    return this.#sent
  }

  detach(): void {
    this.mode = 'absent'
    this.caughtUp = false
    this.fetch = undefined
    this.collecting = undefined
    this.flushing = 'no'
    this.progress = undefined
    this.#inFlight = []
    this.#inFlightBytes = 0
  }

  /** Begins the stream after `from`, which is the end of the member's journal. */
  begin(attempt: number, mode: Mode, from: Seq): void {
    this.attempt = attempt
    this.mode = mode
    this.#number = 0
    this.#sent = from
    this.#announced = 0 as Seq
    this.acked = from
    this.ackedAt = this.#ports.clock.now()
    this.durable = 0 as Seq
    this.recalled = 0 as Seq
    this.leaving = undefined
  }

  /** A new entry, just appended here: goes out at once if nothing stands before it. */
  offer(entry: Entry): void {
    if (this.mode === 'absent' || this.#sent !== entry.seq - 1 || this.#inFlightBytes >= windowBytes) return
    this.#sendEntries([entry])
  }

  /** Sends what the journal has and the window allows; up to `atLeast` whatever the window says. */
  pump(atLeast = 0 as Seq): void {
    while (this.mode !== 'absent' && this.#sent < this.#journal.last.seq) {
      if (this.#inFlightBytes >= windowBytes && this.#sent >= atLeast) return
      const entries = this.#ports.storage.read((this.#sent + 1) as Seq, chunkBytes)
      if (entries === undefined) return this.#fellBehind()
      this.#sendEntries(entries)
    }
  }

  /**
   * Says how far the commit has come, unless it knows. Entries and answers to questions say it as well, so this is for
   * the last one before a pause: a message for each commit would cost as much as the entry itself.
   */
  announce(): void {
    if (this.mode === 'absent') return
    if (Math.min(this.#journal.committed, this.#sent) > this.#announced) this.stream({ kind: 'commit' })
  }

  stream(content: StreamContent): void {
    this.#number += 1
    this.#announced = Math.min(this.#journal.committed, this.#sent) as Seq
    this.#ports.network.send(this.node, {
      kind: 'stream',
      epoch: this.#journal.epoch,
      incarnation: this.#self.incarnation,
      attempt: this.attempt,
      number: this.#number,
      committed: this.#announced,
      content,
    })
  }

  onAcked(last: Seq): void {
    if (this.mode === 'absent' || last <= this.acked) return
    this.acked = last
    this.ackedAt = this.#ports.clock.now()
    let first = this.#inFlight[0]
    while (first !== undefined && first.seq <= last) {
      this.#inFlightBytes -= first.bytes
      this.#inFlight.shift()
      first = this.#inFlight[0]
    }
  }

  /** Asks it to flush; while it flushes, one further round is remembered, which covers everybody who asks meanwhile. */
  askFlush(ticket: number): void {
    if (this.mode === 'absent') return
    if (this.flushing !== 'no') {
      this.flushing = 'asked, and again'
      return
    }
    this.flushing = 'asked'
    this.#flushAskedAt = this.#ports.clock.now()
    this.stream({ kind: 'flush', ticket })
  }

  /** Its answer may have been lost. To flush twice does no harm. */
  remindOfFlush(patience: Ms): void {
    if (this.flushing === 'no' || this.#ports.clock.now() - this.#flushAskedAt < patience) return
    this.flushing = 'no'
    this.askFlush(0)
  }

  #sendEntries(entries: readonly Entry[]): void {
    const last = entries.at(-1)
    if (last === undefined) return
    const bytes = entries.reduce((sum, entry) => sum + entry.body.length, 0)
    this.#sent = last.seq
    this.#inFlight.push({ seq: last.seq, bytes })
    this.#inFlightBytes += bytes
    this.stream({ kind: 'entries', entries })
  }

  /** The journal no longer has what it needs next: it must attach again, and will be told to resync. */
  #fellBehind(): void {
    this.#ports.log('member.fell-behind', { node: this.node, sent: this.#sent })
    this.detach()
  }
}
