import type { NodeId, Seq } from '../proto/ids.ts'
import type { Deaths } from './deaths.ts'
import type { Journal } from './journal.ts'
import type { Message } from './message.ts'
import type { Ports, Self, Timing } from './ports.ts'
import type { Versioned } from './record.ts'
import type { Swapper } from './swapper.ts'

/** What both roles of a replica stand on. */
export interface Core {
  readonly ports: Ports
  readonly self: Self
  readonly timing: Timing
  readonly journal: Journal
  readonly deaths: Deaths
  readonly swapper: Swapper
  /** The newest record seen. */
  record(): Versioned | undefined
}

/** Clients of this process keep nothing of what entries up to here change (R21). */
export const recalledBy = ({ journal, ports }: Core): Seq => Math.min(journal.last.seq, ports.host.recalled()) as Seq

type WithoutEnvelope<M> = M extends Message ? Omit<M, 'epoch' | 'incarnation'> : never

/** A message as its role writes it; who speaks, and under which epoch, is added in one place. */
export type Content = WithoutEnvelope<Message>

export function send(core: Core, to: NodeId, content: Content): void {
  const { incarnation } = core.self
  core.ports.network.send(to, { ...content, epoch: core.journal.epoch, incarnation } as Message)
}
