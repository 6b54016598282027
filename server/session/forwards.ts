import type { Hello } from '../../proto/generated/file-service.ts'
import type { Forward, ForwardAnswer } from '../../proto/generated/peer-service.ts'
import type { NodeId } from '../../proto/ids.ts'
import type { Position } from '../../replication/entry.ts'
import { present, seqFrom } from '../rpc/wire.ts'
import type { Attempt, Change } from './ports.ts'
import { doneOf, responseOf, seenOf } from './positions.ts'

/** What a provider hands on to the primary. */
export type Handed =
  /** `seen`: the greatest position that the session has seen (R20). */
  | { readonly kind: 'operation'; readonly change: Change; readonly seen: Position }
  | { readonly kind: 'open'; readonly hello: Hello }
  | { readonly kind: 'end'; readonly session: bigint }

export type HandedAnswer = Attempt | { readonly kind: 'opened'; readonly session: bigint }

interface Waiting {
  readonly to: NodeId
  readonly forward: Forward
  readonly resolve: (answer: HandedAnswer) => void
}

/**
 * Requests that this provider has handed on to the primary and has no answer to. They are sent again after every break:
 * the primary tells copies from new ones (R29).
 */
export class Forwards {
  readonly #send: (to: NodeId, forward: Forward) => void
  readonly #waiting = new Map<bigint, Waiting>()
  #next: bigint

  /** `first` ticket: far from those of the process before, as an answer to that one may come late and be taken for ours. */
  constructor(send: (to: NodeId, forward: Forward) => void, first: bigint) {
    this.#send = send
    this.#next = first
  }

  hand(to: NodeId, handed: Handed): Promise<HandedAnswer> {
    const ticket = this.#next++
    const forward = forwardOf(ticket, handed)
    return new Promise((resolve) => {
      this.#waiting.set(ticket, { to, forward, resolve })
      this.#send(to, forward)
    })
  }

  /** @throws BadFrame */
  onAnswer(answer: ForwardAnswer): void {
    const settled = answerFrom(answer)
    const waiting = this.#waiting.get(answer.ticket)
    this.#waiting.delete(answer.ticket)
    waiting?.resolve(settled)
  }

  /** The connection to a peer, or from it, is new: what went before may be lost. */
  onConnected(node: NodeId): void {
    for (const { to, forward } of this.#waiting.values()) if (to === node) this.#send(to, forward)
  }

  /** Whoever is not primary any more will not answer, or not with what counts. */
  onPrimary(primary: NodeId | undefined): void {
    for (const [ticket, waiting] of this.#waiting) {
      if (waiting.to === primary) continue
      this.#waiting.delete(ticket)
      waiting.resolve({ kind: 'elsewhere' })
    }
  }
}

const unseen = { seen: 0n, seenEpoch: 0n }

function forwardOf(ticket: bigint, handed: Handed): Forward {
  if (handed.kind === 'open') {
    const kind = { $case: 'open', value: handed.hello } as const
    return { ticket, session: 0n, slot: 0, seq: 0n, caller: undefined, kind, ...unseen, dataOutside: false }
  }
  if (handed.kind === 'end') {
    const kind = { $case: 'end', value: {} } as const
    return { ticket, session: handed.session, slot: 0, seq: 0n, caller: undefined, kind, ...unseen, dataOutside: false }
  }
  const { change, seen } = handed
  const { session, slot, seq, caller, operation } = change
  const kind = { $case: 'operation', value: { kind: operation } } as const
  const place = { seen: BigInt(seen.seq), seenEpoch: BigInt(seen.epoch) }
  return { ticket, session, slot, seq, caller, kind, ...place, dataOutside: false }
}

/** How the primary reads what was handed to it. @throws BadFrame */
export function handedFrom(forward: Forward): Handed {
  const { kind, session, slot, seq } = forward
  if (kind?.$case === 'open') return { kind: 'open', hello: kind.value }
  if (kind?.$case === 'end') return { kind: 'end', session }
  const operation = present(kind?.value.kind, 'the operation of a forward')
  const caller = present(forward.caller, 'the caller of a forward')
  return { kind: 'operation', change: { session, slot, seq, caller, operation }, seen: seenOf(forward) }
}

/** How the primary writes its answer. */
export function answerTo(ticket: bigint, answer: HandedAnswer): ForwardAnswer {
  switch (answer.kind) {
    case 'done':
      return { ticket, kind: { $case: 'response', value: responseOf(0, answer) }, at: BigInt(answer.at ?? 0) }
    case 'opened':
      return { ticket, kind: { $case: 'opened', value: answer.session }, at: 0n }
    case 'ended':
      return { ticket, kind: { $case: 'ended', value: {} }, at: 0n }
    case 'elsewhere':
      return { ticket, kind: { $case: 'notPrimary', value: {} }, at: 0n }
  }
}

function answerFrom({ kind, at }: ForwardAnswer): HandedAnswer {
  switch (kind?.$case) {
    case 'response':
      return { ...doneOf(kind.value), ...(at > 0n && { at: seqFrom(at) }) }
    case 'opened':
      return { kind: 'opened', session: kind.value }
    case 'ended':
      return { kind: 'ended' }
    case 'notPrimary':
    case undefined:
      return { kind: 'elsewhere' }
  }
}
