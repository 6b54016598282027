import type { NodeId, Seq } from '../proto/ids.ts'
import type { Core } from './core.ts'
import type { Member } from './member.ts'
import type { Verified } from './message.ts'
import type { ItemDigest } from './ports.ts'
import type { WorkItem } from './work.ts'

interface Verification {
  readonly at: Seq
  readonly digests: Map<NodeId, ItemDigest>
}

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
    const { storage } = this.#core.ports
    const running: Verification = { at: this.#core.journal.committed, digests: new Map() }
    this.#running.set(ticket, running)
    for (const node of this.#mirrors()) {
      const member = this.#members.get(node)
      member?.pump(running.at)
      if (member?.mode === 'following') member.stream({ kind: 'verify', ticket, item, detail })
    }
    storage.digest(item, { detail }, (digest) => {
      running.digests.set(this.#core.self.node, digest)
      this.#settle(ticket)
    })
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
