import type { NodeId, Seq } from '../proto/ids.ts'
import type { Core } from './core.ts'
import type { Member } from './member.ts'
import type { Verified } from './message.ts'
import type { ItemDigest, Ms } from './ports.ts'
import type { WorkItem } from './work.ts'

interface Question {
  readonly ticket: number
  readonly item: WorkItem
  readonly detail: boolean
}

/** One comparison, at one position. */
interface Verification extends Question {
  readonly at: Seq
  readonly askedAt: Ms
  readonly digests: Map<NodeId, ItemDigest>
}

/** Unanswered for so many retries, all are asked again: reading a slice's worth of blocks takes far less. */
const patience = 20

/**
 * Compares one item on all members of the set as it is at one position: a marker in the stream names it, and every member
 * digests it between the entries before and the entries after (S15).
 */
export class Verifications {
  readonly #core: Core
  readonly #members: ReadonlyMap<NodeId, Member>
  readonly #running = new Map<number, Verification>()

  constructor(core: Core, members: ReadonlyMap<NodeId, Member>) {
    this.#core = core
    this.#members = members
  }

  ask(ticket: number, item: WorkItem, detail: boolean): void {
    this.#begin({ ticket, item, detail })
  }

  /** What it was asked under an earlier attachment it will not answer, and it may have been away when it was to be asked. */
  onAttached(node: NodeId): void {
    for (const running of [...this.#running.values()]) if (!running.digests.has(node)) this.#begin(running)
  }

  /** An answer may be lost. */
  onTick(): void {
    const now = this.#core.ports.clock.now()
    for (const running of [...this.#running.values()]) {
      if (now - running.askedAt > patience * this.#core.timing.retry) this.#begin(running)
    }
  }

  onVerified(node: NodeId, message: Verified): void {
    const running = this.#running.get(message.ticket)
    if (running === undefined || message.at !== running.at) return
    running.digests.set(node, message.digest)
    this.#settle(message.ticket)
  }

  /** Who has left the set is not waited for. */
  onSetChanged(): void {
    for (const ticket of this.#running.keys()) this.#settle(ticket)
  }

  end(): void {
    for (const ticket of this.#running.keys()) this.#core.ports.host.verifyAnswer(ticket, { outcome: 'lost' })
    this.#running.clear()
  }

  /** Asks everybody, perhaps once more, as of now. What they say of an earlier position does not count any more. */
  #begin({ ticket, item, detail }: Question): void {
    const { clock, storage } = this.#core.ports
    const at = this.#core.journal.committed
    const running: Verification = { ticket, item, detail, at, askedAt: clock.now(), digests: new Map() }
    this.#running.set(ticket, running)
    for (const node of this.#mirrors()) {
      const member = this.#members.get(node)
      member?.pump(at)
      if (member?.mode === 'following') member.stream({ kind: 'verify', ticket, item, detail })
    }
    storage.digest(item, { detail }, (digest) => {
      running.digests.set(this.#core.self.node, digest)
      this.#settle(ticket)
    })
  }

  #settle(ticket: number): void {
    const running = this.#running.get(ticket)
    const needed = [this.#core.self.node, ...this.#mirrors()]
    if (running === undefined || !needed.every((node) => running.digests.has(node))) return
    this.#running.delete(ticket)
    this.#core.ports.host.verifyAnswer(ticket, { outcome: 'digests', at: running.at, digests: running.digests })
  }

  #mirrors(): readonly NodeId[] {
    return (this.#core.record()?.record.inSync ?? []).filter((node) => node !== this.#core.self.node)
  }
}
