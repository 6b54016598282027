import type { NodeId, Seq } from '../proto/ids.ts'
import type { Core } from './core.ts'
import { assertFlushed } from './flushed.ts'
import type { InSyncSet } from './in-sync-set.ts'
import type { Member } from './member.ts'

/** fsync: everything up to a position is committed, and on the disk of everybody who may lead (R7, R11). */
export class Flushes {
  readonly #core: Core
  readonly #members: ReadonlyMap<NodeId, Member>
  readonly #set: InSyncSet
  #waiting: { readonly ticket: number; readonly upTo: Seq }[] = []
  #ownFlushed = 0 as Seq
  #own: 'no' | 'asked' | 'asked, and again' = 'no'

  constructor(core: Core, members: ReadonlyMap<NodeId, Member>, set: InSyncSet) {
    this.#core = core
    this.#members = members
    this.#set = set
  }

  ask(ticket: number): void {
    this.#waiting.push({ ticket, upTo: this.#core.journal.last.seq })
    this.#flushOwn()
    for (const member of this.#members.values()) {
      member.pump()
      if (this.#isAsked(member)) member.askFlush(ticket)
    }
  }

  #isAsked(member: Member): boolean {
    return this.#set.counts(member.node) || member.caughtUp
  }

  onFlushed(member: Member, durable: Seq): void {
    member.durable = Math.max(member.durable, durable) as Seq
    const again = member.flushing === 'asked, and again'
    member.flushing = 'no'
    if (again) member.askFlush(0)
  }

  settle(): void {
    if (this.#waiting.length === 0) return
    let least = Math.min(this.#ownFlushed, this.#core.journal.committed)
    // Also of who has left, but may lead as long as the set is too small (R11).
    for (const node of this.#set.heirs()) least = Math.min(least, this.#members.get(node)?.durable ?? 0)
    const done = this.#waiting.filter((flush) => flush.upTo <= least)
    if (done.length > 0) this.#waiting = this.#waiting.filter((flush) => flush.upTo > least)
    for (const flush of done) {
      this.#set.wasFlushed(flush.upTo)
      this.#core.ports.host.flushAnswer(flush.ticket, 'flushed')
    }
    this.#askAgain()
  }

  /** Who has attached anew was asked on a stream that is gone; who was behind may have been asked before it had all of it. */
  #askAgain(): void {
    for (const member of this.#members.values()) {
      if (member.flushing !== 'no' || !this.#isAsked(member)) continue
      const { acked, durable } = member
      if (this.#waiting.some(({ upTo }) => durable < upTo && upTo <= acked)) member.askFlush(0)
    }
  }

  end(): void {
    for (const { ticket } of this.#waiting) this.#core.ports.host.flushAnswer(ticket, 'lost')
    this.#waiting = []
  }

  #flushOwn(): void {
    if (this.#own !== 'no') {
      this.#own = 'asked, and again'
      return
    }
    this.#own = 'asked'
    this.#core.ports.storage.flush((outcome, upTo) => {
      assertFlushed(outcome)
      this.#ownFlushed = Math.max(this.#ownFlushed, upTo) as Seq
      const again = this.#own === 'asked, and again'
      this.#own = 'no'
      this.settle()
      if (again) this.#flushOwn()
    })
  }
}
