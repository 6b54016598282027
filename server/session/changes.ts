import assert from 'node:assert/strict'
import type { Caller, Hello } from '../../proto/generated/file-service.ts'
import type { NodeId } from '../../proto/ids.ts'
import type { Position } from '../../replication/entry.ts'
import type { Forwards, Handed, HandedAnswer } from './forwards.ts'
import type { Answer, Change, ReplicaPort, Wanted } from './ports.ts'
import type { ReadHow } from './reads.ts'

/** Who decides what is handed over, when this member is the primary. */
export interface Decider {
  decide(handed: Handed, from: NodeId): Promise<HandedAnswer>
}

export interface ChangePorts {
  readonly self: NodeId
  readonly replica: ReplicaPort
  readonly decider: Decider
  readonly forwards: Forwards
  readonly changed: () => Promise<void>
}

/** Takes what only the primary decides to the primary, whoever that is, until it has decided. */
export class Changes {
  readonly #ports: ChangePorts

  constructor(ports: ChangePorts) {
    this.#ports = ports
  }

  /** `untouched`: cancelled, and certainly not made. undefined: nobody waits for it any more; it may have been made. */
  async submit(
    change: Change,
    how: { readonly seen: Position; readonly wanted: Wanted },
  ): Promise<Answer | 'untouched' | undefined> {
    const answer = await this.#hand({ kind: 'operation', change, seen: how.seen }, how.wanted)
    if (answer === 'untouched' || answer === undefined) return answer
    assert(answer.kind !== 'opened', 'a change was answered as if it opened a session')
    return answer
  }

  /** Has the primary ask for the holds that others have on these; see ReadPorts. */
  async release(inos: bigint[], caller: Caller, { seen, session, wanted }: ReadHow): Promise<Answer | undefined> {
    const operation = { $case: 'awaitRelease', value: { inos } } as const
    const answer = await this.submit({ session, slot: 0, seq: 0n, caller, operation }, { seen, wanted })
    return answer === 'untouched' ? undefined : answer
  }

  /** The session's number, or why there is none. Asking twice under one nonce opens one session. */
  async open(hello: Hello, wanted: Wanted): Promise<bigint | 'refused' | undefined> {
    const answer = await this.#hand({ kind: 'open', hello }, wanted)
    if (answer === 'untouched' || answer === undefined) return undefined
    return answer.kind === 'opened' ? answer.session : 'refused'
  }

  /** Resolves when the session has ended, for good; false: nobody waits for it any more. */
  async end(session: bigint, wanted: Wanted): Promise<boolean> {
    const answer = await this.#hand({ kind: 'end', session }, wanted)
    return answer !== undefined && answer !== 'untouched' && answer.kind === 'ended'
  }

  async #hand(handed: Handed, wanted: Wanted): Promise<Decided | 'untouched' | undefined> {
    const { self, replica, decider, forwards, changed } = this.#ports
    let tried = false
    while (!wanted.closed) {
      if (wanted.cancelled && !tried) return 'untouched'
      const primary = replica.primary()
      if (primary !== undefined) {
        tried = true
        const answer = await (primary === self ? decider.decide(handed, self) : forwards.hand(primary, handed))
        if (answer.kind !== 'elsewhere') return answer
      }
      await changed()
    }
    return undefined
  }
}

type Decided = Exclude<HandedAnswer, { kind: 'elsewhere' }>
