import type { Cache } from './cache.ts'
import type { Done } from './client.ts'
import { flushSlots, type Hold, releaseSlots, splitResult } from './holds.ts'
import { model, type Op, objects } from './operations.ts'
import type { Prng } from './random.ts'
import type { Answer, RequestId } from './session.ts'

/** What of a session it needs. */
export interface HolderSession {
  readonly name: string
  /** How often all hosts had lost power when it began. */
  readonly losses: number
  readonly over: boolean
}

export interface WriteBackWorld {
  readonly cache: Cache
  now(): number
  after(delayMs: number, then: () => void): void
  /** One change of the session's, asked until it is answered; `take` says whether it was. */
  change(how: ChangeHow, take: (answer: Answer) => void): void
  begin(op: Op, request: RequestId): Done
  /** A write was answered under a hold. */
  heldBack(object: string, hold: Hold): void
  /** That was held back, and the servers have it now. */
  written(request: RequestId): void
  /** That was answered, and is refused now, as the hold is gone. */
  lost(done: Done, object: string, hold: Hold): void
}

export interface ChangeHow {
  readonly session: HolderSession
  readonly request: RequestId
  readonly op: Op
  readonly under?: number
}

interface HeldBack {
  readonly op: Op
  readonly done: Done
  readonly request: RequestId
}

interface Held {
  readonly session: HolderSession
  readonly number: number
  /** Of leases, when it was asked for. */
  readonly term: number
  leaving: boolean
  usedAt: number
}

/** What is held back of one object. */
interface Pile {
  readonly session: HolderSession
  readonly number: number
  readonly writes: HeldBack[]
  /** Of a directory: its names, with what is held back. */
  names: string | undefined
  readonly waiting: (() => void)[]
  isSending: boolean
}

const flushMs = 60
const idleMs = 400
const restMs = 150
/** Held back of one object at most. */
const pileMax = 6
/** No term has this number: of holds that a driver before this one has asked for. */
const noTerm = -1

/** A driver's write-behind: holds, and writes that were answered and are sent later (S1, S2). */
export class WriteBack {
  readonly #world: WriteBackWorld
  readonly #random: Prng
  readonly #held = new Map<string, Held>()
  readonly #asking = new Map<string, { readonly number: number; readonly term: number }>()
  readonly #piles = new Map<string, Pile>()
  readonly #resting = new Map<string, number>()
  readonly #seqs = new Map<string, number>()
  #numbers = 0
  /** Writes that were held back, for the report. */
  count = 0

  constructor(world: WriteBackWorld, random: Prng) {
    this.#world = world
    this.#random = random
  }

  get idle(): boolean {
    return this.#piles.size === 0
  }

  /** Something that it may write to by itself: programs often write to one file for a while. */
  favourite(session: HolderSession): string | undefined {
    const usable = [...this.#held].filter(([, held]) => this.#isUsable(held, session)).map(([object]) => object)
    return usable.length > 0 && this.#random.chance(0.7) ? this.#random.pick(usable) : undefined
  }

  /** Answers a write by itself, if it may; and a change of a directory whose names it knows, if it can be made. */
  takes(session: HolderSession, op: Op): boolean {
    if (!isHoldable(op)) return false
    const held = this.#held.get(op.object)
    if (held === undefined || !this.#isUsable(held, session)) return false
    const known = this.#piles.get(op.object)
    if ((known?.writes.length ?? 0) >= pileMax) return false
    const names = isPlain(op) ? '' : this.#namesAfter(op, known)
    if (names === undefined) return false
    const { number } = held
    const pile: Pile = known ?? { session, number, writes: [], names: undefined, waiting: [], isSending: false }
    pile.names = names
    if (known === undefined) {
      this.#piles.set(op.object, pile)
      this.#world.cache.changes(op.object)
      this.#world.after(this.#random.exponential(flushMs), () => this.#send(op.object, pile))
    }
    const request = this.#request(session, flushSlots, op.object)
    const done = this.#world.begin(op, request)
    this.#world.heldBack(op.object, { session: session.name, number: held.number })
    done.result = 'ok'
    done.returned = done.invoked
    pile.writes.push({ op, done, request })
    held.usedAt = this.#world.now()
    this.count += 1
    return true
  }

  /** Calls back when nothing of the object is held back. */
  before(object: string, then: () => void): void {
    const pile = this.#piles.get(object)
    if (pile === undefined) return then()
    pile.waiting.push(then)
    this.#send(object, pile)
  }

  beforeAll(then: () => void): void {
    let left = 1
    const one = (): void => {
      left -= 1
      if (left === 0) then()
    }
    for (const object of [...this.#piles.keys()]) {
      left += 1
      this.before(object, one)
    }
    one()
  }

  /** The number of a hold that is to be asked for with a change; undefined: of none. */
  wish(session: HolderSession, op: Op): number | undefined {
    const { object } = op
    if (!isHoldable(op) || session.over || this.#held.has(object) || this.#asking.has(object)) return undefined
    if ((this.#resting.get(object) ?? 0) > this.#world.now() || !this.#world.cache.isLeased) return undefined
    this.#numbers += 1
    this.#asking.set(object, { number: this.#numbers, term: this.#world.cache.term })
    return this.#numbers
  }

  /** A change with that wish was answered, or never will be. @returns the result as the client's program has it */
  granted(session: HolderSession, object: string, wished: number | undefined, answered: string): string {
    const asked = this.#asking.get(object)
    if (wished === undefined || asked?.number !== wished) return answered
    this.#asking.delete(object)
    const { result, number } = splitResult(answered)
    if (number === wished && !session.over) {
      const held = { session, number, term: asked.term, leaving: false, usedAt: this.#world.now() }
      this.#held.set(object, held)
      this.#watch(object, held)
    }
    return result
  }

  /** Somebody wants it. */
  wanted(object: string, number: number): void {
    const held = this.#held.get(object)
    if (held?.number === number) this.#giveBack(object, held)
  }

  /** Another driver goes on with what this one has left. */
  died(): void {
    for (const [object, held] of this.#held) {
      const left: Held = { ...held, term: noTerm }
      this.#held.set(object, left)
      this.#watch(object, left)
    }
    for (const [object, { number }] of this.#asking) this.#asking.set(object, { number, term: noTerm })
  }

  /** The session has ended, and what it held back is gone. */
  ended(session: HolderSession): void {
    for (const [object, held] of [...this.#held]) if (held.session === session) this.#held.delete(object)
    for (const [object, pile] of [...this.#piles]) if (pile.session === session) this.#clear(object, pile)
  }

  /** What a directory will have in it; undefined: not known here, or the change can't be made. */
  #namesAfter(op: Op, pile: Pile | undefined): string | undefined {
    const before = pile?.names ?? this.#world.cache.get(op.object)?.result
    if (before === undefined) return undefined
    const { state, result } = model.step(before, op)
    return result === 'ok' ? state : undefined
  }

  #isUsable(held: Held, session: HolderSession): boolean {
    const { cache } = this.#world
    return held.session === session && !held.leaving && held.term === cache.term && cache.isLeased
  }

  #send(object: string, pile: Pile): void {
    if (pile.isSending || this.#piles.get(object) !== pile) return
    const first = pile.writes.shift()
    if (first === undefined) return this.#clear(object, pile)
    pile.isSending = true
    const { request, op } = first
    this.#world.change({ session: pile.session, request, op, under: pile.number }, (answer) => {
      pile.isSending = false
      if (answer.kind === 'done' && answer.result === 'ok') this.#world.written(request)
      else this.#world.lost(first.done, object, holdOf(pile))
      this.#send(object, pile)
    })
  }

  /** What is under way may be made yet. */
  #clear(object: string, pile: Pile): void {
    if (this.#piles.get(object) !== pile) return
    for (const { done } of pile.writes.splice(0)) this.#world.lost(done, object, holdOf(pile))
    this.#piles.delete(object)
    this.#world.cache.changed(object)
    for (const then of pile.waiting.splice(0)) then()
  }

  #giveBack(object: string, held: Held): void {
    if (held.leaving) return
    held.leaving = true
    this.#resting.set(object, this.#world.now() + restMs)
    this.before(object, () => {
      if (this.#held.get(object)?.number !== held.number) return
      const request = this.#request(held.session, releaseSlots, object)
      const op = { kind: 'release', object, number: held.number } as const
      this.#world.change({ session: held.session, request, op }, () => {
        if (this.#held.get(object)?.number === held.number) this.#held.delete(object)
      })
    })
  }

  /** One that nobody uses is given back. */
  #watch(object: string, held: Held): void {
    this.#world.after(idleMs / 2, () => {
      if (this.#held.get(object) !== held || held.leaving) return
      const isIdle = this.#world.now() - held.usedAt > idleMs && !this.#piles.has(object)
      if (isIdle) this.#giveBack(object, held)
      else this.#watch(object, held)
    })
  }

  #request(session: HolderSession, slots: number, object: string): RequestId {
    const slot = slots + objects.findIndex((name) => name === object)
    const key = `${session.name}/${slot}`
    const seq = (this.#seqs.get(key) ?? 0) + 1
    this.#seqs.set(key, seq)
    return { session: session.name, slot, seq }
  }
}

const holdOf = ({ session, number }: Pile): Hold => ({ session: session.name, number })

/** Its result is known before it is made. */
const isPlain = ({ kind }: Op): boolean =>
  kind === 'write' || kind === 'append' || kind === 'writeAt' || kind === 'truncate'

const isHoldable = (op: Op): boolean =>
  isPlain(op) || op.kind === 'create' || op.kind === 'remove' || op.kind === 'rename'
