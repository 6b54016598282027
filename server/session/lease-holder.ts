import type { Seq } from '../../proto/ids.ts'
import type { Ms } from '../../replication/ports.ts'

/** What is asked back with one message. */
export interface RecallFrame {
  readonly number: bigint
  readonly inos: readonly bigint[]
  /** The last entry that it is for; 0: for none. */
  readonly position: Seq
  readonly everything: boolean
}

/** The way to a client that can be asked to let go. */
export type SendRecall = (recall: RecallFrame) => void

/** More inodes than this are asked back as "everything". */
const recallInosMax = 4096

interface Asked {
  /** The first entry that waits for the answer; undefined: none does. */
  readonly first: Seq | undefined
  readonly sentAt: Ms
}

/** One stream of a session, as long as its client may keep anything of it: what is leased to it and what asked back. */
export class LeaseHolder<Session> {
  readonly session: Session
  /** Which hello of the session it came with. */
  readonly attach: bigint
  /** The volume knows that the session is here (S21). */
  entitled = false
  /** Leased, the oldest first. */
  readonly inos = new Set<bigint>()
  /** All of it has ended by then, as the giver counts; -Infinity: nothing was given since the last end. */
  until: Ms = Number.NEGATIVE_INFINITY
  #send: SendRecall | undefined
  #numbers = 0n
  readonly #asked = new Map<bigint, Asked>()
  #toAsk: { readonly inos: Set<bigint>; first: Seq | undefined; last: Seq; everything: boolean } | undefined

  constructor(session: Session, attach: bigint, send: SendRecall) {
    this.session = session
    this.attach = attach
    this.#send = send
  }

  get isAttached(): boolean {
    return this.#send !== undefined
  }

  /** Nothing is being asked of it, or to be asked. */
  get isIdle(): boolean {
    return this.#toAsk === undefined && this.#asked.size === 0
  }

  /** Some entry waits for this client. */
  get isAwaited(): boolean {
    return this.first() !== undefined
  }

  /** The first entry that waits for this client. */
  first(): Seq | undefined {
    let first = this.#toAsk?.first
    for (const asked of this.#asked.values()) {
      if (asked.first !== undefined && (first === undefined || asked.first < first)) first = asked.first
    }
    return first
  }

  /** When the oldest question was sent that has no answer. */
  askedSince(): Ms | undefined {
    return this.#asked.values().next().value?.sentAt
  }

  /** Is to be asked with the next `flush`. `at`: the entry that waits for it, if one does. */
  recall(inos: Iterable<bigint> | 'everything', at: Seq | undefined): void {
    this.#toAsk ??= { inos: new Set(), first: at, last: at ?? (0 as Seq), everything: false }
    const toAsk = this.#toAsk
    toAsk.first ??= at
    if (at !== undefined && at > toAsk.last) toAsk.last = at
    if (inos === 'everything') {
      toAsk.everything = true
      this.inos.clear()
      return
    }
    for (const ino of inos) {
      this.inos.delete(ino)
      toAsk.inos.add(ino)
    }
  }

  /** Says what is to be said. Whose stream is gone can't be asked: time ends it, or another hello. Returns messages sent. */
  flush(now: Ms): number {
    const toAsk = this.#toAsk
    if (toAsk === undefined) return 0
    this.#toAsk = undefined
    this.#numbers += 1n
    this.#asked.set(this.#numbers, { first: toAsk.first, sentAt: now })
    if (this.#send === undefined) return 0
    const everything = toAsk.everything || toAsk.inos.size > recallInosMax
    const inos = everything ? [] : [...toAsk.inos]
    this.#send({ number: this.#numbers, inos, position: toAsk.last, everything })
    return 1
  }

  /** It has let go of what that message asked for. */
  answered(number: bigint): void {
    this.#asked.delete(number)
  }

  /** The stream is gone; the client may still be there, and keep what it has. */
  lostStream(): void {
    this.#send = undefined
  }

  /** Its client keeps nothing any more. */
  clear(): void {
    this.inos.clear()
    this.#asked.clear()
    this.#toAsk = undefined
    this.until = Number.NEGATIVE_INFINITY
  }
}
