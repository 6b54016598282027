import type { Incarnation, NodeId, Seq } from '../proto/ids.ts'
import type { Message } from './message.ts'
import type { Ports, Self, Timing } from './ports.ts'
import type { Versioned } from './record.ts'
import type { WorkItem } from './work.ts'

/** What a replica would tell an operator. */
export interface ReplicaStatus {
  readonly role: 'primary' | 'mirror' | 'resyncing' | 'none'
}

/** One member of one volume. (Being written; this file shows the surface the simulator and the server build on.) */
export class Replica {
  constructor(_ports: Ports, _self: Self, _timing: Timing) {}

  /** First call. Everything before it came from `Storage.opened`. */
  start(): void {}
  /** At least each `timing.heartbeat / 3`. */
  onTick(): void {}
  onMessage(_from: NodeId, _message: Message): void {}
  /** From a watch, a read or a swap; older versions than one seen before are ignored. */
  onRecord(_versioned: Versioned): void {}
  /** A supervisor saw that process end (S17). */
  onDeath(_node: NodeId, _incarnation: Incarnation): void {}

  /** Primary only: gives the body the next place in the order. It is committed when `Host.committed` reaches the seq. */
  propose(_body: Uint8Array): { readonly outcome: 'proposed'; readonly seq: Seq } | { readonly outcome: 'not primary' | 'full' } {
    return { outcome: 'not primary' }
  }
  /** Checked before each answer from local state (R13, R18): may this member answer reads from committed state now? */
  mayRead(): boolean {
    return false
  }
  /** May this member take changes now? Primary, its epoch's mark committed, leases of the whole set unexpired. */
  mayChange(): boolean {
    return false
  }
  primary(): NodeId | undefined {
    return undefined
  }
  /** Asks the primary how far the commit has come (CRAQ). Answer: `Host.commitAnswer`. */
  askCommit(_ticket: number): void {}
  /** Primary only: all entries up to now on every in-sync disk. Answer: `Host.flushAnswer`. */
  flush(_ticket: number): void {}
  /** Primary only. Answer: `Host.verifyAnswer`. */
  verify(_ticket: number, _item: WorkItem, _options: { readonly detail: boolean }): void {}
  /** Primary only: these items of that mirror are overwritten with ours. */
  repair(_node: NodeId, _work: readonly WorkItem[]): void {}
  /** Primary only: that mirror leaves the set and compares everything. */
  resyncFully(_node: NodeId): void {}
  /** Primary only: leaves the primary's place to that in-sync mirror, after what is under way. */
  handOver(_to: NodeId): void {}
  status(): ReplicaStatus {
    return { role: 'none' }
  }
  /** Throws what is broken. The simulator calls it after every step. */
  checkInvariants(): void {}
}
