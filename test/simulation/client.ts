import type { NodeId, Seq } from '../../proto/ids.ts'
import { origin, type Position } from '../../replication/entry.ts'
import { Cache, type Kept } from './cache.ts'
import type { Hold } from './holds.ts'
import { type Op, randomChange, randomOp } from './operations.ts'
import { type Known, nothingKnown } from './oracle.ts'
import type { Prng } from './random.ts'
import type { Answer, Call, Push, RequestId, StreamId } from './session.ts'
import type { Timeline } from './timeline.ts'
import { Violation } from './violation.ts'
import { type HolderSession, WriteBack } from './write-back.ts'

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
  /** It was held back and never made, and that was right. */
  isLost?: true
}

export interface ClientWorld {
  readonly timeline: Timeline
  readonly nodes: readonly NodeId[]
  readonly history: Done[]
  /** How often all hosts lost power, and what was lost with it. */
  losses(): number
  /** What clients know of by now, for judging reads that begin now. */
  known(): Known
  send(client: string, to: NodeId, call: Call, knownThen: Known, onAnswer: (answer: Answer) => void): void
  acknowledged(request: RequestId): void
  /** What a client held back was refused. @throws Violation if its hold was not taken away */
  heldInVain(client: string, object: string, hold: Hold): void
  /** A client has answered a write by itself. @throws Violation if it does not hold the object */
  heldBack(client: string, object: string, hold: Hold): void
  onPush(client: string, take: (push: Push) => void): void
  /** A client has answered by itself, from what it had been told. */
  answeredFromCache(client: string, op: Op, kept: Kept): void
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
  /** Chance that a client keeps what it is told under leases. */
  readonly caches: number
  /** Mean time between two moments at which such a client is stopped for a while. */
  readonly freezeMs: number
}

/** A client's own clock and its own luck. */
export interface ClientHost {
  readonly rate: number
  readonly random: Prng
  /** Holds back writes (write-behind): with luck of its own. */
  readonly holder: Prng | undefined
}

/** Mean time between two deaths of a driver that holds writes back, and how long some of them are stopped. */
const deathMs = 5000
const longFreezeMs = [6000, 9000] as const

/** Mean time between two reads of what a client keeps, beside its own. */
const pollMs = 30

interface Session extends HolderSession {
  over: boolean
}

/** A program on some host, with a session: asks one server, and another when that one does not answer. */
export class Client {
  readonly name: string
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
  readonly #cache: Cache | undefined
  readonly #back: WriteBack | undefined
  /** Counts the deaths of its driver: what was said to one is not heard by the next. */
  #life = 1
  /** How often all had been lost before what is kept. */
  #keptSince = 0
  #session: Session | undefined
  /** While it is stopped, what comes waits here. */
  #piled: (() => void)[] | undefined

  constructor(name: string, world: ClientWorld, random: Prng, profile: ClientProfile, host: ClientHost) {
    this.name = name
    this.#world = world
    this.#random = random
    this.#profile = profile
    this.#provider = random.pick(world.nodes)
    this.#isForgetful = random.chance(profile.forgetful)
    if (host.random.chance(profile.caches)) this.#cache = this.#newCache(host)
    if (this.#cache !== undefined && host.holder !== undefined)
      this.#back = this.#newBack(this.#cache, host, host.holder)
    this.#open()
  }

  /** What it could answer by itself at this moment, were it asked. */
  kept(object: string): Kept | undefined {
    return this.#keptSince === this.#world.losses() ? this.#cache?.get(object) : undefined
  }

  #newCache({ rate, random, holder }: ClientHost): Cache {
    const { timeline } = this.#world
    const cache = new Cache(
      this.name,
      {
        now: () => timeline.now * rate,
        after: (delayMs, then) => this.#after(delayMs, then),
        send: (to, call, onAnswer) => {
          this.#world.send(this.name, to, call, nothingKnown, (answer) => this.#awake(() => onAnswer(answer)))
        },
        changed: () => this.#reattach(),
        wanted: (object, number) => this.#back?.wanted(object, number),
      },
      random,
    )
    this.#world.onPush(this.name, (push) => this.#awake(() => cache.onPush(push)))
    const freeze = (): void => {
      timeline.after(random.exponential(this.#profile.freezeMs), () => {
        if (this.#world.ending()) return
        this.#piled ??= []
        const usualMs = random.between(50, 2500)
        const isLong = holder?.chance(0.25) === true
        timeline.after(isLong ? holder.between(...longFreezeMs) : usualMs, () => {
          this.#thaw()
          freeze()
        })
      })
    }
    freeze()
    this.#poll(cache, random)
    return cache
  }

  #newBack(cache: Cache, { rate }: ClientHost, random: Prng): WriteBack {
    const { timeline } = this.#world
    const back = new WriteBack(
      {
        cache,
        now: () => timeline.now * rate,
        after: (delayMs, then) => this.#after(delayMs, then),
        change: ({ session, ...how }, take) => {
          this.#call(
            (stream) => ({ kind: 'change', ...how, ...stream }),
            (answer) => {
              if (answer.kind === 'again' || answer.kind === 'lost' || answer.kind === 'prolonged') return false
              take(answer)
              if (answer.kind === 'refused') this.#refused(session, answer.why)
              return true
            },
          )
        },
        begin: (op, request) => this.#begin(op, request),
        written: (request) => this.#world.acknowledged(request),
        heldBack: (object, hold) => this.#world.heldBack(this.name, object, hold),
        lost: (done, object, hold) => {
          this.#world.heldInVain(this.name, object, hold)
          done.isLost = true
        },
      },
      random,
    )
    const die = (): void => {
      timeline.after(random.exponential(deathMs), () => {
        if (this.#world.ending()) return
        this.#life += 1
        cache.leave()
        back.died()
        this.#reattach()
        die()
      })
    }
    die()
    return back
  }

  /** Other programs on this host look again at what is kept here, as often as they like. */
  #poll(cache: Cache, random: Prng): void {
    this.#after(random.exponential(pollMs), () => {
      if (this.#world.ending()) return
      const objects = cache.objects()
      if (objects.length > 0) this.#readKept({ kind: 'read', object: random.pick(objects) })
      this.#poll(cache, random)
    })
  }

  /** Answers by itself, if it may. */
  #readKept(op: Op): boolean {
    if (this.#keptSince !== this.#world.losses()) this.#cache?.forget()
    this.#keptSince = this.#world.losses()
    const kept = this.#cache?.get(op.object)
    if (kept === undefined) return false
    this.#world.answeredFromCache(this.name, op, kept)
    this.#finish(this.#begin(op, undefined), { kind: 'done', ...kept })
    return true
  }

  /** Does something when this client runs: now, or when it goes on. */
  #awake(act: () => void): void {
    if (this.#piled === undefined) act()
    else this.#piled.push(act)
  }

  #after(delayMs: number, act: () => void): void {
    this.#world.timeline.after(delayMs, () => this.#awake(act))
  }

  #thaw(): void {
    const piled = this.#piled ?? []
    this.#piled = undefined
    for (const act of piled) this.#awake(act)
  }

  /** A cache that is attached nowhere, though there is a session, tries some provider. */
  #reattach(): void {
    const session = this.#session
    if (this.#cache === undefined || session === undefined || session.over || this.#cache.stream !== undefined) return
    this.#provider = this.#random.pick(this.#world.nodes)
    this.#cache.attach(session.name, this.#provider)
  }

  /** Writes that it answered by itself. */
  get heldBack(): number {
    return this.#back?.count ?? 0
  }

  /** Nothing is under way. */
  get idle(): boolean {
    return this.#busy === 0 && !this.#opening && this.#back?.idle !== false
  }

  #open(): void {
    if (this.#opening || this.#world.ending()) return
    this.#opening = true
    const losses = this.#world.losses()
    this.#count += 1
    const nonce = `${this.name}.${this.#count}`
    this.#call(
      () => ({ kind: 'open', nonce }),
      (answer) => {
        if (answer.kind !== 'done') return false
        this.#opening = false
        const session: Session = { name: answer.result, losses, over: false }
        this.#session = session
        this.#cache?.attach(session.name, this.#provider)
        for (let slot = 0; slot < this.#profile.slots; slot++) this.#next(session, slot, 1)
        return true
      },
    )
  }

  #next(session: Session, slot: number, seq: number): void {
    this.#after(this.#random.exponential(this.#profile.thinkMs), () => {
      if (session.over || this.#world.ending()) return
      if (this.#random.chance(this.#profile.renewShare) && this.#back?.idle !== false) return this.#renew(session)
      if (this.#random.chance(this.#profile.flushShare)) return this.#flush(session, slot, seq)
      this.#count += 1
      const id = `${this.name}.${this.#count}`
      const favourite = this.#back?.favourite(session)
      const op =
        favourite === undefined
          ? randomOp(this.#random, id, this.#profile.readShare, this.#lastRead)
          : randomChange(this.#random, favourite, id, this.#lastRead)
      if (op.kind === 'read') this.#read(session, slot, seq, op)
      else this.#change(session, { session: session.name, slot, seq }, op)
    })
  }

  #read(session: Session, slot: number, seq: number, op: Op): void {
    if (this.#readKept(op)) return this.#next(session, slot, seq)
    const done = this.#begin(op, undefined)
    this.#whenWritten(op.object, () => this.#askRead(session, slot, seq, done))
  }

  #askRead(session: Session, slot: number, seq: number, done: Done): void {
    const { op } = done
    this.#call(
      (stream) => ({ kind: 'read', op, seen: this.#isForgetful ? origin : this.#seen, ...stream }),
      (answer, { asked, losses }) => {
        const seen = asked.kind === 'read' ? asked.seen : origin
        if (answer.kind === 'lost') this.#forget(seen, answer.at, losses)
        if (answer.kind !== 'done') return false
        if (isBefore(answer.at, seen)) {
          throw new Violation('session', 'R20', `${this.name} has seen ${name(seen)}, and is shown ${name(answer.at)}`)
        }
        if (answer.leased === true) this.#cache?.keep(op.object, { result: answer.result, at: answer.at })
        this.#finish(done, answer)
        this.#lastRead.set(op.object, answer.result)
        this.#next(session, slot, seq)
        return true
      },
    )
  }

  #change(session: Session, request: RequestId, op: Op): void {
    if (this.#back?.takes(session, op) === true) return this.#next(session, request.slot, request.seq)
    const done = this.#begin(op, request)
    this.#whenWritten(op.object, () => this.#askChange(session, request, done))
  }

  #askChange(session: Session, request: RequestId, done: Done): void {
    const { op } = done
    const take = this.#back?.wish(session, op)
    const wish = take === undefined ? {} : { take }
    this.#cache?.changes(op.object)
    this.#call(
      (stream) => ({ kind: 'change', request, op, ...wish, ...stream }),
      (answer) => {
        if (answer.kind === 'again' || answer.kind === 'lost' || answer.kind === 'prolonged') return false
        this.#cache?.changed(op.object)
        const result = this.#back?.granted(session, op.object, take, answer.kind === 'done' ? answer.result : '')
        if (answer.kind === 'refused') return this.#refused(session, answer.why)
        this.#world.acknowledged(request)
        this.#finish(done, result === undefined ? answer : { ...answer, result })
        this.#next(session, request.slot, request.seq + 1)
        return true
      },
    )
  }

  /** When nothing is held back here that it would not see. */
  #whenWritten(object: string, then: () => void): void {
    if (this.#back === undefined) return then()
    this.#busy += 1
    this.#back.before(object, () => {
      this.#busy -= 1
      then()
    })
  }

  /** Refused rightly only when the session was ended by ourselves, or lost with the power of all hosts. */
  #refused(session: HolderSession, why: string): boolean {
    if (!session.over && session.losses === this.#world.losses()) {
      throw new Violation('exactly once', 'R29, R31', `${this.name}: a request of session ${session.name} is '${why}'`)
    }
    if (!session.over) this.#abandon(session)
    return true
  }

  #flush(session: Session, slot: number, seq: number): void {
    if (this.#back === undefined) this.#askFlush(session, slot, seq)
    else this.#back.beforeAll(() => this.#askFlush(session, slot, seq))
  }

  #askFlush(session: Session, slot: number, seq: number): void {
    this.#count += 1
    const by = `${this.name}.${this.#count}`
    this.#call(
      () => ({ kind: 'flush', by }),
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

  #abandon(session: HolderSession): void {
    if (this.#session === session) this.#session.over = true
    this.#back?.ended(session)
    if (this.#session === session) this.#cache?.leave()
    this.#open()
  }

  #begin(op: Op, request: RequestId | undefined): Done {
    const invoked = this.#world.timeline.now
    const done: Done = {
      client: this.name,
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

  #finish(done: Done, answer: Extract<Answer, { readonly kind: 'done' }>): void {
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
      throw new Violation('session', 'R20', `${this.name} is told that ${name(seen)} is lost, and nothing was`)
    }
    this.#sees(now)
  }

  /** Asks again, at one server after the other, until an answer is taken. */
  #call(
    call: (stream: { readonly stream?: StreamId }) => Call,
    take: (answer: Answer, to: { readonly asked: Call; readonly losses: number }) => boolean,
  ): void {
    const knownThen = this.#world.known()
    let over = false
    let attempt = 0
    this.#busy += 1
    const ask = () => {
      attempt += 1
      const mine = attempt
      const stream = this.#cache?.stream
      const elsewhere = (delayMs: number) => {
        this.#after(delayMs, () => {
          if (over || mine !== attempt) return
          this.#moveOn(stream?.id)
          ask()
        })
      }
      const asked = call(stream === undefined ? {} : { stream: stream.id })
      const losses = this.#seenLosses
      const life = this.#life
      const onAnswer = (answer: Answer): void => {
        if (over) return
        if (take(answer, { asked, losses })) {
          over = true
          this.#busy -= 1
        } else if (answer.kind === 'again') elsewhere(this.#random.between(10, 60))
      }
      this.#world.send(this.name, stream?.provider ?? this.#provider, asked, knownThen, (answer) => {
        this.#awake(() => {
          if (life !== this.#life) return
          if (stream === undefined || this.#cache === undefined) onAnswer(answer)
          else this.#cache.take(stream.id, answer.frame, () => onAnswer(answer))
        })
      })
      elsewhere(this.#random.between(300, 1200))
    }
    ask()
  }

  /** That stream, or where it has no stream, that server, did not answer. */
  #moveOn(id: StreamId | undefined): void {
    const cache = this.#cache
    if (cache === undefined) this.#provider = this.#random.pick(this.#world.nodes)
    else if (id !== undefined && cache.stream?.id === id) {
      cache.leave()
      this.#reattach()
    } else if (cache.stream === undefined) this.#provider = this.#random.pick(this.#world.nodes)
  }
}

/** Of two epochs the later is greater, also when what it has is less. */
const isBefore = (a: Position, b: Position): boolean => a.epoch < b.epoch || (a.epoch === b.epoch && a.seq < b.seq)
const name = ({ epoch, seq }: Position): string => `${epoch}:${seq}`
