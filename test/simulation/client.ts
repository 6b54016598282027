import type { NodeId, Seq } from '../../proto/ids.ts'
import { origin, type Position } from '../../replication/entry.ts'
import { type Op, randomOp } from './operations.ts'
import type { Prng } from './random.ts'
import type { Answer, Call, RequestId } from './session.ts'
import type { Timeline } from './timeline.ts'
import { Violation } from './violation.ts'

/** One operation of a client, as the client saw it. */
export interface Done {
  readonly client: string
  readonly op: Op
  readonly request: RequestId | undefined
  readonly invoked: number
  returned: number
  result: string | undefined
  /** Of a read: the position of the state it was answered from. */
  at: Seq | undefined
}

export interface ClientWorld {
  readonly timeline: Timeline
  readonly nodes: readonly NodeId[]
  readonly history: Done[]
  /** How often all hosts lost power, and what was lost with it. */
  losses(): number
  /** What clients know of by now, for judging reads that begin now. */
  known(): Seq
  send(client: string, to: NodeId, call: Call, knownThen: Seq, onAnswer: (answer: Answer) => void): void
  acknowledged(request: RequestId): void
  /** No new operations: what is under way is brought to its end. */
  ending(): boolean
}

export interface ClientProfile {
  readonly slots: number
  readonly readShare: number
  readonly flushShare: number
  /** Chance that a client ends its session after an operation, and begins another. */
  readonly renewShare: number
  readonly thinkMs: number
  /** Chance that a client tells nobody what it has seen (R20): as if each of its reads came from another program. */
  readonly forgetful: number
}

interface Session {
  readonly name: string
  readonly losses: number
  over: boolean
}

/** A program on some host, with a session: asks one server, and another when that one does not answer. */
export class Client {
  readonly #name: string
  readonly #world: ClientWorld
  readonly #random: Prng
  readonly #profile: ClientProfile
  readonly #lastRead = new Map<string, string>()
  #provider: NodeId
  #opening = false
  readonly #isForgetful: boolean
  /** R20. */
  #seen: Position = origin
  #seenLosses = 0
  #count = 0
  #busy = 0

  constructor(name: string, world: ClientWorld, random: Prng, profile: ClientProfile) {
    this.#name = name
    this.#world = world
    this.#random = random
    this.#profile = profile
    this.#provider = random.pick(world.nodes)
    this.#isForgetful = random.chance(profile.forgetful)
    this.#open()
  }

  /** Nothing is under way. */
  get idle(): boolean {
    return this.#busy === 0 && !this.#opening
  }

  #open(): void {
    if (this.#opening || this.#world.ending()) return
    this.#opening = true
    const losses = this.#world.losses()
    this.#count += 1
    const nonce = `${this.#name}.${this.#count}`
    this.#call(
      () => ({ kind: 'open', nonce }),
      (answer) => {
        if (answer.kind !== 'done') return false
        this.#opening = false
        const session: Session = { name: answer.result, losses, over: false }
        for (let slot = 0; slot < this.#profile.slots; slot++) this.#next(session, slot, 1)
        return true
      },
    )
  }

  #next(session: Session, slot: number, seq: number): void {
    this.#world.timeline.after(this.#random.exponential(this.#profile.thinkMs), () => {
      if (session.over || this.#world.ending()) return
      if (this.#random.chance(this.#profile.renewShare)) return this.#renew(session)
      if (this.#random.chance(this.#profile.flushShare)) return this.#flush(session, slot, seq)
      this.#count += 1
      const op = randomOp(this.#random, `${this.#name}.${this.#count}`, this.#profile.readShare, this.#lastRead)
      if (op.kind === 'read') this.#read(session, slot, seq, op)
      else this.#change(session, { session: session.name, slot, seq }, op)
    })
  }

  #read(session: Session, slot: number, seq: number, op: Op): void {
    const done = this.#begin(op, undefined)
    let seen: Position = origin
    let losses = 0
    this.#call(
      () => {
        seen = this.#isForgetful ? origin : this.#seen
        losses = this.#seenLosses
        return { kind: 'read', op, seen }
      },
      (answer) => {
        if (answer.kind === 'lost') this.#forget(seen, answer.at, losses)
        if (answer.kind !== 'done') return false
        if (isBefore(answer.at, seen)) {
          throw new Violation('session', 'R20', `${this.#name} has seen ${name(seen)}, and is shown ${name(answer.at)}`)
        }
        this.#finish(done, answer)
        this.#lastRead.set(op.object, answer.result)
        this.#next(session, slot, seq)
        return true
      },
    )
  }

  #change(session: Session, request: RequestId, op: Op): void {
    const done = this.#begin(op, request)
    this.#call(
      () => ({ kind: 'change', request, op }),
      (answer) => {
        if (answer.kind === 'again' || answer.kind === 'lost') return false
        if (answer.kind === 'refused') return this.#refused(session, answer.why)
        this.#world.acknowledged(request)
        this.#finish(done, answer)
        this.#next(session, request.slot, request.seq + 1)
        return true
      },
    )
  }

  /** Refused rightly only when the session was ended by ourselves, or lost with the power of all hosts. */
  #refused(session: Session, why: string): boolean {
    if (!session.over && session.losses === this.#world.losses()) {
      throw new Violation('exactly once', 'R29, R31', `${this.#name}: a request of session ${session.name} is '${why}'`)
    }
    if (!session.over) this.#abandon(session)
    return true
  }

  #flush(session: Session, slot: number, seq: number): void {
    this.#call(
      () => ({ kind: 'flush' }),
      (answer) => {
        if (answer.kind !== 'done') return false
        this.#next(session, slot, seq)
        return true
      },
    )
  }

  #renew(session: Session): void {
    this.#abandon(session)
    this.#call(
      () => ({ kind: 'close', session: session.name }),
      (answer) => answer.kind !== 'again',
    )
  }

  #abandon(session: Session): void {
    session.over = true
    this.#open()
  }

  #begin(op: Op, request: RequestId | undefined): Done {
    const invoked = this.#world.timeline.now
    const done: Done = {
      client: this.#name,
      op,
      request,
      invoked,
      returned: Number.POSITIVE_INFINITY,
      result: undefined,
      at: undefined,
    }
    this.#world.history.push(done)
    return done
  }

  #finish(done: Done, answer: Answer & { readonly kind: 'done' }): void {
    done.returned = this.#world.timeline.now
    done.result = answer.result
    done.at = answer.at.seq
    this.#sees(answer.at)
  }

  #sees(at: Position): void {
    if (!isBefore(this.#seen, at)) return
    this.#seen = at
    this.#seenLosses = this.#world.losses()
  }

  /** What it has seen was lost with the power of all hosts: it goes on with what there is. */
  #forget(seen: Position, now: Position, losses: number): void {
    if (losses === this.#world.losses()) {
      throw new Violation('session', 'R20', `${this.#name} is told that ${name(seen)} is lost, and nothing was`)
    }
    this.#sees(now)
  }

  /** Asks again, at one server after the other, until an answer is taken. */
  #call(call: () => Call, take: (answer: Answer) => boolean): void {
    const { timeline } = this.#world
    const knownThen = this.#world.known()
    let over = false
    let attempt = 0
    this.#busy += 1
    const ask = () => {
      attempt += 1
      const mine = attempt
      const elsewhere = (delayMs: number) => {
        timeline.after(delayMs, () => {
          if (over || mine !== attempt) return
          this.#provider = this.#random.pick(this.#world.nodes)
          ask()
        })
      }
      this.#world.send(this.#name, this.#provider, call(), knownThen, (answer) => {
        if (over) return
        if (take(answer)) {
          over = true
          this.#busy -= 1
        } else if (answer.kind === 'again') elsewhere(this.#random.between(10, 60))
      })
      elsewhere(this.#random.between(300, 1200))
    }
    ask()
  }
}

/** Of two epochs the later is greater, also when what it has is less. */
const isBefore = (a: Position, b: Position): boolean => a.epoch < b.epoch || (a.epoch === b.epoch && a.seq < b.seq)
const name = ({ epoch, seq }: Position): string => `${epoch}:${seq}`
