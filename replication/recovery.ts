import type { Incarnation, NodeId } from '../proto/ids.ts'
import { type Core, send } from './core.ts'
import type { Mark } from './entry.ts'
import type { Envelope, Recovering, Wholeness } from './message.ts'
import type { Ms } from './ports.ts'
import type { VolumeRecord } from './record.ts'

interface Heard {
  readonly incarnation: Incarnation
  readonly last: Mark
  readonly has: Wholeness
  /** It has heard this very process, so what it says is not from before we started. */
  readonly knowsUs: boolean
}

/**
 * After all hosts of the set have lost power: each may have lost the end of its journal, but what was fsynced anywhere
 * was fsynced everywhere, so the longest journal of all has everything that was (R12). One waits for all of them.
 */
export class Recovery {
  readonly #core: Core
  readonly #heard = new Map<NodeId, Heard>()
  #saidAt: Ms = Number.NEGATIVE_INFINITY

  constructor(core: Core) {
    this.#core = core
  }

  onMessage(from: NodeId, message: Recovering & Envelope, has: Wholeness): void {
    const knowsUs = message.heard.includes(this.#core.self.incarnation)
    const known = this.#heard.get(from)
    this.#heard.set(from, { incarnation: message.incarnation, last: message.last, has: message.has, knowsUs })
    if (known?.incarnation !== message.incarnation || !knowsUs) this.#say([from], has)
  }

  /** Asks everybody, from time to time. */
  ask(record: VolumeRecord, has: Wholeness): void {
    const now = this.#core.ports.clock.now()
    if (now - this.#saidAt < this.#core.timing.retry) return
    this.#saidAt = now
    this.#say(
      record.members.filter((node) => node !== this.#core.self.node),
      has,
    )
  }

  /**
   * All who may have what was committed have spoken, all have lost something, and none has more than we. Whose state
   * was being brought over has nothing to lead with, however long its journal is.
   */
  won(record: VolumeRecord): boolean {
    const mine = this.#core.journal.last
    const { node: self } = this.#core.self
    return [...record.inSync, ...record.eligible].every((node) => {
      if (node === self) return true
      const heard = this.#heard.get(node)
      if (heard === undefined || !heard.knowsUs || heard.has === 'everything') return false
      if (heard.has === 'parts') return true
      if (heard.last.epoch !== mine.epoch) return heard.last.epoch < mine.epoch
      return heard.last.seq < mine.seq || (heard.last.seq === mine.seq && node > self)
    })
  }

  #say(to: readonly NodeId[], has: Wholeness): void {
    const heard = [...this.#heard.values()].map((other) => other.incarnation)
    for (const node of to) send(this.#core, node, { kind: 'recovering', last: this.#core.journal.last, has, heard })
  }
}
