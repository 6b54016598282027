import type { NodeId } from '../../proto/ids.ts'
import type { Position } from '../../replication/entry.ts'
import type { Prng } from './random.ts'
import type { Answer, LeaseCall, Push, StreamId } from './session.ts'

/** What a client was told under a lease. */
export interface Kept {
  readonly result: string
  readonly at: Position
}

export interface CacheWorld {
  /** The client's own clock, ms. */
  now(): number
  after(delayMs: number, then: () => void): void
  send(to: NodeId, call: LeaseCall, onAnswer: (answer: Answer) => void): void
  /** Attached, or not any more. */
  changed(): void
  /** Somebody wants a hold. */
  wanted(object: string, number: number): void
}

const beatMs = 150
const silenceMs = 600

/**
 * What a driver with leases does: one stream at one provider, whose frames it takes in their order; values that it answers
 * by itself while its leases last; and forgetting, when asked, before its own changes, and before it goes elsewhere.
 */
export class Cache {
  readonly #client: string
  readonly #world: CacheWorld
  readonly #random: Prng
  readonly #kept = new Map<string, Kept>()
  /** Changes of its own under way: nothing is kept of what they change (S4). */
  readonly #changing = new Map<string, number>()
  #attaches = 0n
  #stream: { readonly id: StreamId; readonly provider: NodeId } | undefined
  #isAttached = false
  #frame = 0
  #early = new Map<number, () => void>()
  #until = Number.NEGATIVE_INFINITY
  #heardAt = 0
  /** Changes when leases are lost. */
  term = 1

  constructor(client: string, world: CacheWorld, random: Prng) {
    this.#client = client
    this.#world = world
    this.#random = random
  }

  /** The stream to ask on; undefined: attached nowhere. */
  get stream(): { readonly id: StreamId; readonly provider: NodeId } | undefined {
    return this.#isAttached ? this.#stream : undefined
  }

  get isLeased(): boolean {
    return this.#world.now() < this.#until
  }

  /** What may be answered without asking anybody. */
  get(object: string): Kept | undefined {
    return this.isLeased ? this.#kept.get(object) : undefined
  }

  /** Of which there is something. */
  objects(): readonly string[] {
    return [...this.#kept.keys()]
  }

  keep(object: string, kept: Kept): void {
    if (!this.#changing.has(object)) this.#kept.set(object, kept)
  }

  changes(object: string): void {
    this.#kept.delete(object)
    this.#changing.set(object, (this.#changing.get(object) ?? 0) + 1)
  }

  changed(object: string): void {
    const count = (this.#changing.get(object) ?? 1) - 1
    if (count === 0) this.#changing.delete(object)
    else this.#changing.set(object, count)
  }

  /** Forgets everything, and goes to that provider with that session. */
  attach(session: string, provider: NodeId): void {
    this.leave()
    this.#attaches += 1n
    const id = { client: this.#client, session, attach: this.#attaches }
    this.#stream = { id, provider }
    this.#heardAt = this.#world.now()
    this.#world.send(provider, { kind: 'attach', stream: id }, (answer) => {
      this.take(id, answer.frame, () => {
        if (answer.kind !== 'done' || this.#isAttached) return
        this.#isAttached = true
        this.#beat(id)
        this.#world.changed()
      })
    })
    this.#world.after(silenceMs, () => {
      if (this.#isCurrent(id) && !this.#isAttached) this.#lose()
    })
  }

  leave(): void {
    this.term += 1
    this.#kept.clear()
    this.#early.clear()
    this.#until = Number.NEGATIVE_INFINITY
    this.#frame = 0
    this.#stream = undefined
    this.#isAttached = false
  }

  /** Power was lost everywhere, and what was said before may never have been. */
  forget(): void {
    this.#kept.clear()
  }

  /** Does something with a frame of the stream when all before it have come; what has no place on it at once. */
  take(id: StreamId, frame: number | undefined, act: () => void): void {
    if (frame === undefined) return act()
    if (!this.#isCurrent(id) || frame <= this.#frame) return
    this.#early.set(frame, act)
    for (;;) {
      const next = this.#early.get(this.#frame + 1)
      if (next === undefined || !this.#isCurrent(id)) return
      this.#frame += 1
      this.#early.delete(this.#frame)
      this.#heardAt = this.#world.now()
      next()
    }
  }

  onPush(push: Push): void {
    this.take(push.stream, push.frame, () => {
      if (push.wanted !== undefined) return this.#world.wanted(push.wanted.object, push.wanted.number)
      if (push.everything) this.#kept.clear()
      for (const object of push.objects) this.#kept.delete(object)
      const answer = (): void => {
        const { stream: id, number } = push
        if (this.#stream !== undefined && this.#isCurrent(id)) {
          this.#world.send(this.#stream.provider, { kind: 'recalled', stream: id, number }, () => {})
        }
      }
      if (this.#random.chance(0.8)) answer()
      else this.#world.after(this.#random.exponential(this.#random.pick([5, 150])), answer)
    })
  }

  #isCurrent(id: StreamId): boolean {
    return this.#stream?.id === id || (this.#stream?.id.attach === id.attach && this.#stream.id.session === id.session)
  }

  #beat(id: StreamId): void {
    if (this.#stream === undefined || !this.#isCurrent(id)) return
    if (this.#world.now() - this.#heardAt > silenceMs) return this.#lose()
    const sentAt = this.#world.now()
    this.#world.send(this.#stream.provider, { kind: 'beat', stream: id }, (answer) => {
      this.take(id, answer.frame, () => {
        if (answer.kind === 'prolonged' && answer.leaseMs > 0) this.#prolong(sentAt + answer.leaseMs)
      })
    })
    this.#world.after(beatMs, () => this.#beat(id))
  }

  /** What had run out is not brought back. */
  #prolong(until: number): void {
    if (!this.isLeased) {
      this.term += 1
      this.#kept.clear()
    }
    this.#until = Math.max(this.#until, until)
  }

  #lose(): void {
    this.leave()
    this.#world.changed()
  }
}
