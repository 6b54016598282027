import { type Errno, errnos, FsError } from '../../proto/errno.ts'
import type { Coherence } from '../cache/coherence.ts'
import type { Held } from '../cache/lease-cache.ts'
import { LeasedCall } from '../cache/leased-call.ts'
import type { Instead, MovedInodes } from '../cache/moved-inodes.ts'
import { asksForAcl, told } from '../cache/tell.ts'
import type { Log } from '../log.ts'
import type { Frame } from '../protocol/frame.ts'
import type { InitOffer, Negotiated } from '../protocol/negotiate.ts'
import { negotiate } from '../protocol/negotiate.ts'
import type { ReplyBody } from '../protocol/reply.ts'
import type { InHeader, Malformed, Request, RequestOf } from '../protocol/request.ts'
import { isAnswered, parseRequest, resentBit } from '../protocol/request.ts'
import type { FileCall, FileClient, FileResult, InterruptSignal, Outcome } from '../router/file-client.ts'
import { removes } from '../write-behind/subjects.ts'
import type { WriteBehind } from '../write-behind/write-behind.ts'
import type { AccessTimes } from './access-times.ts'
import type { Callers } from './caller.ts'
import type { DriverState } from './driver-state.ts'
import { isCachedHandle, opensForWriting } from './handle-table.ts'
import { InFlight, type LongWait } from './in-flight.ts'
import { interruptible } from './interruptible.ts'
import type { Interruptions } from './interruptions.ts'
import { LockCalls, type LockPlan } from './locks.ts'
import type { Calling, Plan } from './plan.ts'
import { planOf } from './plan.ts'
import { replyForError } from './reply-error.ts'

/** The kernel's end, as far as the driver needs it. */
export interface Kernel {
  /** @returns whether the kernel took it; not so if it had given up the request */
  reply(unique: bigint, body: ReplyBody): boolean
  pause(): void
  resume(): void
}

export interface DriverParts {
  readonly kernel: Kernel
  readonly client: FileClient
  readonly state: DriverState
  readonly coherence: Coherence
  readonly moved: MovedInodes
  readonly writeBehind: WriteBehind
  readonly callers: Callers
  readonly interruptions: Interruptions
  /** Without it, reads leave access times as they are. */
  readonly accessTimes?: AccessTimes
  /** In a tree of several volumes, requests are not all what they seem; see planInTree. */
  readonly plan?: (request: Request) => Plan
  /** What is asked of the kernel at INIT, if it offers it. */
  readonly wanted: bigint
  /** How long something waits for what was held back while no provider answers (S29). */
  readonly unavailableMs: number
  readonly nowMs: () => number
  readonly log: Log
}

/** What the layouts are before INIT has come: those of every kernel that is new enough. */
const beforeInit: Negotiated = { minor: 0, flags: 0n, maxReadahead: 0 }

const EPROTO = 71

/** Calls that one request may make. */
const steps = { call: 0, fsync: 1, callAnew: 2 } as const

/** An absence that is not to be kept. */
const insteadReplies: Record<NonNullable<Instead>, ReplyBody> = {
  stale: { kind: 'error', errno: errnos.ESTALE },
  absent: { kind: 'absent', nameMs: 0 },
}

/**
 * One request, one file operation, one reply. Every request that wants an answer gets one, and exactly one: a process
 * that waits for it cannot be killed. Stateless but for what is in work and what is open (DriverState).
 */
export class Driver {
  readonly #parts: DriverParts
  readonly #inFlight: InFlight
  readonly #locks: LockCalls
  readonly #plan: (request: Request) => Plan

  constructor(parts: DriverParts) {
    this.#parts = parts
    this.#inFlight = new InFlight(parts.kernel, parts.interruptions, parts.nowMs)
    this.#locks = new LockCalls(parts.client, parts.state.locks)
    this.#plan = parts.plan ?? planOf
  }

  get inFlight(): number {
    return this.#inFlight.size
  }

  /** See InFlight.waitingFor. */
  waitingFor(leastMs: number): readonly LongWait[] {
    return this.#inFlight.waitingFor(leastMs)
  }

  /** One message of the kernel; nothing of the frame is used afterwards. Never throws for what is in it. */
  onMessage(frame: Frame, length: number): void {
    const request = parseRequest(frame, length, this.#parts.state.negotiated ?? beforeInit)
    if (request.op !== 'malformed') this.#parts.moved.asks(request.header.pid)
    if (request.op === 'WRITE') this.#startWrite(request)
    else if (request.op === 'malformed') this.#refuse(request)
    else if (request.op === 'unknown')
      this.#parts.kernel.reply(request.header.unique, { kind: 'error', errno: errnos.ENOSYS })
    else this.#start(request)
  }

  #refuse({ header, reason }: Malformed): void {
    const { kernel, log } = this.#parts
    log.error('request.malformed', { opcode: header?.opcode, unique: header?.unique, reason })
    if (header === undefined || !isAnswered(header.opcode)) return
    kernel.reply(header.unique, { kind: 'error', errno: errnos.EINVAL })
  }

  #startWrite(request: RequestOf<'WRITE'>): void {
    if (this.#holdBack(request)) return
    this.#start({ ...request, args: { ...request.args, data: Buffer.from(request.args.data) } })
  }

  #start(request: Request): void {
    const { unique } = request.header
    // Sent again while it is in work: the answer to the first is the answer to both.
    if (this.#inFlight.has(unique)) return
    if (this.#hasLostLocks(request)) return this.#reply(request, { kind: 'error', errno: errnos.EIO })
    if (request.op === 'RENAME' || request.op === 'RENAME2') this.#parts.moved.renames(request.header.pid)
    const plan = this.#plan(request)
    switch (plan.kind) {
      case 'nothing':
        return
      case 'local':
        this.#reply(request, plan.reply)
        return
      case 'initialize':
        this.#reply(request, this.#initialize(plan.offer))
        return
      case 'interrupt':
        this.#inFlight.interrupt(plan.target)
        return
      case 'lock':
      case 'unlock':
      case 'flush':
      case 'release':
        this.#startLock(request, plan)
        return
      case 'call':
        if (this.#isListed(request)) this.#reply(request, { kind: 'listing', data: Buffer.alloc(0), endsAt: undefined })
        else if (!this.#answerFromLease(request, plan) && !this.#answerFromHold(request, plan))
          void this.#execute(request, plan)
    }
  }

  #initialize(offer: InitOffer): ReplyBody {
    const { log, state, wanted } = this.#parts
    const answer = negotiate(offer, wanted)
    switch (answer.kind) {
      case 'agreed':
        log.info('kernel.negotiated', { minor: answer.negotiated.minor, flags: answer.negotiated.flags.toString(16) })
        state.negotiate(answer.negotiated)
        return { kind: 'negotiated', negotiated: answer.negotiated }
      case 'again':
        return { kind: 'version' }
      case 'refused':
        log.error('kernel.too-old', { reason: answer.reason })
        return { kind: 'error', errno: EPROTO }
    }
  }

  /** The end of this listing was in the last answer: that there is no more need not be asked. */
  #isListed(request: Request): boolean {
    if (!isListing(request)) return false
    const { fh, offset } = request.args
    return offset !== 0n && this.#parts.state.handles.isListedTo(fh, offset)
  }

  /** @returns whether it was answered, and will be sent later. It is copied by then. */
  #holdBack(request: RequestOf<'WRITE'>): boolean {
    const { callers, writeBehind } = this.#parts
    const { args, header } = request
    if (this.#inFlight.has(header.unique) || this.#hasLostLocks(request)) return false
    const failure = writeBehind.failures.atHandle(args.fh, header.nodeid)
    if (failure !== undefined) {
      this.#reply(request, { kind: 'error', errno: errnos[failure] })
      return true
    }
    const plan = this.#plan(request)
    if (args.fromCache || plan.kind !== 'call' || plan.durable !== undefined || plan.call.$case !== 'write')
      return false
    const how = { unique: header.unique & ~resentBit, resent: (header.unique & resentBit) !== 0n }
    if (!writeBehind.take(plan.call.value, callers.of(header, plan), how)) return false
    this.#reply(request, { kind: 'written', length: args.data.length })
    return true
  }

  /** @returns whether it was answered without asking anybody */
  #answerFromLease(request: Request, plan: Calling): boolean {
    const { callers, coherence, log } = this.#parts
    const { header, op } = request
    const caller = callers.of(header, { judged: plan.call.$case === 'open' })
    const known = coherence.answer(plan.call, caller)
    if (known === undefined) return false
    const { held, outcome } = known
    let body: ReplyBody | undefined
    try {
      body = this.#known(request, plan, outcome, (ino) => coherence.attributesMs(ino, held))
    } catch (error) {
      body = replyForError(error, { op, unique: header.unique, log })
    }
    if (body === undefined) return false
    this.#reply(request, told(request, body, held, coherence))
    if (asksForAcl(request)) coherence.gaveAcl(header.nodeid, held)
    return true
  }

  /** @returns whether it was answered: it is held back, or asks about what is */
  #answerFromHold(request: Request, plan: Calling): boolean {
    const body = this.#heldBackOf(request, plan)
    if (body === undefined) return false
    this.#reply(request, body)
    if (asksForAcl(request)) this.#parts.coherence.gaveAcl(request.header.nodeid, underNoLease)
    return true
  }

  /** What a request comes to that is held back; undefined: it goes through. */
  #heldBackOf(request: Request, plan: Calling): ReplyBody | undefined {
    const { callers, log, writeBehind } = this.#parts
    const { header, op } = request
    // One that is sent again may have been sent already, and not been answered.
    if ((header.unique & resentBit) !== 0n) return undefined
    try {
      const outcome = writeBehind.answer(plan.call, callers.of(header, { judged: false }), header.unique)
      return outcome && this.#known(request, plan, outcome)
    } catch (error) {
      return replyForError(error, { op, unique: header.unique, log })
    }
  }

  /** The answer to what is known here; undefined: the kernel may have to forget something first, so servers are asked. */
  #known(request: Request, plan: Calling, outcome: Outcome, validMs?: (ino: bigint) => number): ReplyBody | undefined {
    if (outcome.kind === 'errno') return { kind: 'error', errno: outcome.errno }
    const { moved } = this.#parts
    if (moved.isDoubtful(plan.call, outcome.result, request.header.pid)) return undefined
    moved.answered(plan.call, outcome.result)
    return plan.answer(outcome.result, validMs)
  }

  /**
   * From the last call's result to the written reply nothing is waited for: whoever keeps results for a driver that
   * takes over may forget one as soon as `answered` says so.
   */
  async #execute(request: Request, plan: Calling): Promise<void> {
    const { client, coherence, log, state } = this.#parts
    const { nodeid, unique } = request.header
    const opening = request.op === 'OPEN' || request.op === 'OPENDIR' ? nodeid : undefined
    const signal = this.#inFlight.begin(request, { waits: false })
    const reading = request.op === 'READ' ? readingOf(request, coherence) : undefined
    if (opening !== undefined) state.handles.use(opening)
    const making = request.op === 'CREATE' || request.op === 'TMPFILE' ? state.handles.making(nodeid) : undefined
    let body: ReplyBody
    const asking = new LeasedCall(client, coherence)
    try {
      body = await this.#bodyFor(request, plan, { asking, signal, reading })
    } catch (error) {
      body = replyForError(error, { op: request.op, unique, log })
    }
    this.#inFlight.end(unique)
    this.#reply(request, told(request, body, asking.held, coherence))
    if (opening !== undefined) state.handles.unuse(opening)
    if (making !== undefined) state.handles.made(making)
    if (asksForAcl(request)) coherence.gaveAcl(nodeid, asking.held)
    if (reading !== undefined) {
      const { cached, range } = reading
      coherence.readEnds(nodeid, range, { held: asking.held, cached, filled: body.kind === 'data' })
    }
    client.answered?.(unique & ~resentBit)
  }

  /** @throws FsError */
  async #bodyFor(
    request: Request,
    plan: Calling,
    how: { asking: LeasedCall; signal: InterruptSignal; reading: Reading | undefined },
  ): Promise<ReplyBody> {
    const { coherence, moved, unavailableMs, writeBehind } = this.#parts
    const { asking, reading, signal } = how
    const { header } = request
    const settling = writeBehind.settling(plan.call)
    if (settling !== undefined) await interruptible(settling, signal, unavailableMs)
    const heldBack = settling === undefined ? undefined : this.#heldBackOf(request, plan)
    if (heldBack !== undefined) return heldBack
    const left = (header.unique & resentBit) === 0n ? undefined : writeBehind.leftBy(header.unique & ~resentBit)
    if (left !== undefined) return plan.answer(await this.#leftOf(left, header, { asking, plan, signal }))
    const ask = () => this.#call(header, plan, { asking, signal })
    const written = this.#writtenBefore(request, plan, signal)
    if (written !== undefined) await written
    const { mark } = writeBehind
    let result = await ask()
    const stale = isByName(plan.call) ? writeBehind.stale(result, mark) : undefined
    if (stale !== undefined) {
      await interruptible(stale, signal, unavailableMs)
      result = await ask()
    }
    while (
      reading?.cached === true &&
      (await coherence.isToBeAskedAgain(header.nodeid, asking.held, reading.sinceMs))
    ) {
      result = await ask()
    }
    const moving = moved.instead(plan.call, result, header.pid)
    const instead = moving instanceof Promise ? await moving : moving
    if (instead !== undefined) return insteadReplies[instead]
    moved.answered(plan.call, result)
    const body = plan.answer(result, (ino) => coherence.attributesMs(ino, asking.held))
    if (plan.durable !== undefined) await this.#fsync(header, plan.durable, signal)
    return body
  }

  /** What was held back by an earlier driver, which may not have answered it, is answered as it is by now. */
  async #leftOf(
    ino: bigint,
    header: InHeader,
    how: { asking: LeasedCall; plan: Calling; signal: InterruptSignal },
  ): Promise<FileResult> {
    const { callers, unavailableMs, writeBehind } = this.#parts
    const { asking, plan, signal } = how
    const call = { $case: 'getattr', value: { ino } } as const
    const sent = writeBehind.before(call, { all: true })
    if (sent !== undefined) await interruptible(sent, signal, unavailableMs)
    if (removes(plan.call)) return { $case: 'done', value: {} }
    const identity = { unique: header.unique & ~resentBit, step: steps.call, signal }
    const result = await asking.call(call, callers.of(header, { judged: false }), identity)
    if (result.$case !== 'attributes' || plan.call.$case === 'setattr') return result
    return { $case: 'entry', value: { attributes: result.value } }
  }

  /** Who is refused for the groups it had a moment ago is asked for once more. */
  async #call(
    header: InHeader,
    plan: Calling,
    { asking, signal }: { asking: LeasedCall; signal: InterruptSignal },
  ): Promise<FileResult> {
    const { callers, writeBehind } = this.#parts
    const unique = header.unique & ~resentBit
    const caller = callers.of(header, plan)
    const { asked, call } = writeBehind.asking(plan.call, { durable: plan.durable !== undefined })
    let result: FileResult | undefined
    let errno: Errno | undefined
    try {
      result = await asking.call(call, caller, { unique, step: steps.call, signal })
      return result
    } catch (error) {
      if (error instanceof FsError) errno = error.errno
      const refused = plan.judged && error instanceof FsError && (error.errno === 'EACCES' || error.errno === 'EPERM')
      const now = refused ? callers.anew(header, caller) : undefined
      if (now === undefined) throw error
      result = await asking.call(call, now, { unique, step: steps.callAnew, signal })
      return result
    } finally {
      asked(result, errno)
    }
  }

  /** What was written here and held back is written before anything that would show it. @throws FsError */
  #writtenBefore(request: Request, plan: Calling, signal: InterruptSignal): Promise<void> | undefined {
    const { unavailableMs, writeBehind } = this.#parts
    const written = writeBehind.before(plan.call, { all: request.op === 'SYNCFS' || request.op === 'FSYNCDIR' })
    const waited = written === undefined ? undefined : interruptible(written, signal, unavailableMs)
    return request.op === 'FSYNC' || request.op === 'FSYNCDIR' ? this.#sayFailure(request, waited) : waited
  }

  async #sayFailure(
    { args, header }: RequestOf<'FSYNC' | 'FSYNCDIR'>,
    waited: Promise<void> | undefined,
  ): Promise<void> {
    await waited
    const failure = this.#parts.writeBehind.failures.atSync(args.fh, header.nodeid)
    if (failure !== undefined) throw new FsError(failure, 'what was answered before could not be kept')
  }

  /** Its locks went with their session: who relied on them must not go on as if he had them. */
  #hasLostLocks(request: Request): boolean {
    const { op, args } = request
    const relies = op === 'READ' || op === 'WRITE' || op === 'SETLK' || op === 'SETLKW'
    return relies && this.#parts.state.locks.isLost(args.fh)
  }

  #startLock(request: Request, plan: LockPlan): void {
    const { state } = this.#parts
    if (plan.kind === 'lock') state.locked(plan.handle, plan.range.ino)
    if (!this.#locks.isNothing(plan)) return void this.#executeLock(request, plan)
    this.#endLock(request, plan, { kind: 'done' })
  }

  #endLock(request: Request, plan: LockPlan, body: ReplyBody): void {
    const { state, writeBehind } = this.#parts
    const closing = request.op === 'FLUSH' || request.op === 'RELEASE' ? request.args.fh : undefined
    const says = closing !== undefined && opensForWriting(closing)
    const failure = says ? writeBehind.failures.atHandle(closing, request.header.nodeid) : undefined
    if (plan.kind === 'release') {
      writeBehind.failures.closed(plan.fh)
      state.released(plan.fh)
    }
    this.#reply(request, failure === undefined ? body : { kind: 'error', errno: errnos[failure] })
  }

  /** As `#execute`, with as many calls as it takes. */
  async #executeLock(request: Request, plan: LockPlan): Promise<void> {
    const { callers, client, log } = this.#parts
    const { header } = request
    const { unique } = header
    const number = unique & ~resentBit
    const asked = this.#mayWaitFor(plan) ? plan : ({ ...plan, waits: false, refusal: 'ENOLCK' } as const)
    const signal = this.#inFlight.begin(request, { waits: asked.kind === 'lock' && asked.waits })
    let body: ReplyBody
    try {
      const caller = callers.of(header, { judged: false })
      const made = asked.kind === 'lock' ? this.#parts.writeBehind.beforeLock(asked.range.ino) : undefined
      if (made !== undefined) await interruptible(made, signal, this.#parts.unavailableMs)
      body = await this.#locks.perform(asked, { unique: number, caller, signal })
    } catch (error) {
      body = replyForError(error, { op: request.op, unique, log })
    }
    this.#inFlight.end(unique)
    this.#endLock(request, plan, body)
    client.answered?.(number)
  }

  #mayWaitFor(plan: LockPlan): boolean {
    return plan.kind !== 'lock' || !plan.waits || this.#inFlight.mayWaitForLock
  }

  /** O_SYNC: a write that reached no disk is no write. */
  async #fsync(header: InHeader, ino: bigint, signal: InterruptSignal): Promise<void> {
    const { callers, client } = this.#parts
    const call = { $case: 'fsync', value: { ino } } as const
    const how = { unique: header.unique & ~resentBit, step: steps.fsync, signal }
    await client.call(call, callers.of(header, { judged: false }), how)
  }

  /** What is open is noted before the kernel can know of it, so that it is not forgotten if this process dies. */
  #reply(request: Request, body: ReplyBody): void {
    if (request.op === 'LOOKUP' && body.kind !== 'entry') {
      this.#parts.moved.isNothingAt({ dir: request.header.nodeid, name: request.args.name }, request.header.pid)
    }
    const { kernel, state } = this.#parts
    if (body.kind === 'opened') state.opened(body.fh, request.header.nodeid)
    if (body.kind === 'created') state.opened(body.fh, body.attributes.ino)
    if (isListing(request) && body.kind === 'listing' && body.endsAt !== undefined) {
      state.handles.listed(request.args.fh, body.endsAt)
    }
    this.#parts.accessTimes?.answered(request, body)
    const taken = kernel.reply(request.header.unique, body)
    // Nobody has it open, so nobody will close it.
    if (!taken && (body.kind === 'opened' || body.kind === 'created')) state.released(body.fh)
  }
}

/** Only the answer says which files it is about. */
const isByName = ({ $case }: FileCall): boolean => $case === 'lookup' || $case === 'readdir'

/** The kernel keeps nothing of what is known by a hold: it would have to be told when that goes. */
const underNoLease: Held = new Map()

const isListing = (request: Request): request is RequestOf<'READDIR' | 'READDIRPLUS'> =>
  request.op === 'READDIR' || request.op === 'READDIRPLUS'

type Reading = ReturnType<typeof readingOf>

function readingOf({ args, header }: RequestOf<'READ'>, coherence: Coherence) {
  const range = coherence.readBegan(header.nodeid, args.offset, args.length)
  return { range, cached: isCachedHandle(args.fh), sinceMs: performance.now() }
}
