import type { Hello, Request, ServerFrame } from '../../proto/generated/file-service.ts'
import type { LeaseHolder, RecallFrame } from './lease-holder.ts'
import type { FileCall } from './ports.ts'
import type { Done } from './positions.ts'
import { subjectsOf } from './subjects.ts'
import type { VolumeLeases } from './volume-leases.ts'

/** The leases of one client's stream, as it speaks of them. */
export class StreamLeases {
  readonly #leases: VolumeLeases
  readonly #send: (frame: ServerFrame) => void
  #holder: LeaseHolder<bigint> | undefined
  /** Which of the session's hellos the stream began with; 0: it takes no leases. */
  #attach = 0n

  constructor(leases: VolumeLeases, send: (frame: ServerFrame) => void) {
    this.#leases = leases
    this.#send = send
  }

  get attach(): bigint {
    return this.#attach
  }

  /** How many it has. */
  get count(): number {
    return this.#holder?.inos.size ?? 0
  }

  /** It may be given leases some day, and has none yet. */
  get isWaiting(): boolean {
    return this.#holder !== undefined && !this.#holder.entitled
  }

  /** The stream's hello has come. */
  greeted(hello: Hello): void {
    this.#attach = hello.leases ? hello.attach : 0n
  }

  /** The stream is the session's. False: the session has a later one here. */
  begin(session: bigint): boolean {
    if (this.#attach === 0n) return true
    this.#holder = this.#leases.attach(session, this.#attach, (recall) => this.#recall(recall))
    return this.#holder !== undefined
  }

  /** For the answer to a heartbeat. */
  onHeartbeat(dropped: readonly bigint[]): number {
    if (this.#holder === undefined) return 0
    this.#leases.leases.dropped(this.#holder, dropped)
    return this.#leases.prolong(this.#holder)
  }

  onRecalled(number: bigint): void {
    if (this.#holder !== undefined) this.#leases.answered(this.#holder, number)
  }

  asks(session: bigint, { slot, seq, invalidated }: Request): void {
    if (this.#holder !== undefined) this.#leases.asks(session, slot, { seq, invalidated })
  }

  isAnswered(session: bigint, { slot, seq }: Request): void {
    if (this.#holder !== undefined) this.#leases.isAnswered(session, slot, seq)
  }

  /** What of an answer, which goes out at once, may be kept. */
  granted(call: FileCall, answer: Done): bigint[] {
    if (this.#holder === undefined || answer.at === undefined) return []
    return this.#leases.grant(this.#holder, subjectsOf(call, answer), answer.at)
  }

  end(): void {
    if (this.#holder !== undefined) this.#leases.leases.detach(this.#holder)
  }

  #recall({ number, inos, position, everything }: RecallFrame): void {
    const value = { number, inos: [...inos], position: BigInt(position), everything }
    this.#send({ kind: { $case: 'recall', value } })
  }
}
