import { errnos, FsError } from '../../proto/errno.ts'
import type { Coherence } from '../cache/coherence.ts'
import { LeasedCall } from '../cache/leased-call.ts'
import type { MovedDirectories } from '../cache/moved-directories.ts'
import { asksForAcl, told } from '../cache/tell.ts'
import type { Log } from '../log.ts'
import type { Frame } from '../protocol/frame.ts'
import type { InitOffer, Negotiated } from '../protocol/negotiate.ts'
import { negotiate } from '../protocol/negotiate.ts'
import type { ReplyBody } from '../protocol/reply.ts'
import type { InHeader, Malformed, Request, RequestOf } from '../protocol/request.ts'
import { isAnswered, parseRequest, resentBit } from '../protocol/request.ts'
import type { FileCall, FileClient, FileResult, InterruptSignal } from '../router/file-client.ts'
import type { WriteBehind } from '../write-behind/write-behind.ts'
import type { AccessTimes } from './access-times.ts'
import type { Callers } from './caller.ts'
import type { DriverState } from './driver-state.ts'
import { isCachedHandle } from './handle-table.ts'
import { Interrupt } from './interrupt.ts'
import { interruptible } from './interruptible.ts'
import type { Interruptions } from './interruptions.ts'
import { LockCalls, type LockPlan } from './locks.ts'
import type { Calling } from './plan.ts'
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
  readonly directories: MovedDirectories
  readonly writeBehind: WriteBehind
  readonly callers: Callers
  readonly interruptions: Interruptions
  /** Without it, reads leave access times as they are. */
  readonly accessTimes?: AccessTimes
  /** What is asked of the kernel at INIT, if it offers it. */
  readonly wanted: bigint
  /** How long something waits for what was held back while no provider answers (S29). */
  readonly unavailableMs: number
  readonly log: Log
}

/**
 * Requests in work at once, and what they carry. Beyond either no more are taken from the kernel, which makes the
 * processes wait (even INTERRUPT has to). As many threads rarely wait for one mount.
 */
const inFlightMax = 1024
const inFlightBytesMax = 128 << 20

/**
 * Processes that wait for locks take nothing from others, but each is asked for every second. Beyond it a lock that is
 * held by somebody else is ENOLCK.
 */
const lockWaitsMax = 2048
/** INTERRUPTs that came before the request they are for: two readers of one device may be overtaken. */
const earlyInterruptsMax = 64

/** What the layouts are before INIT has come: those of every kernel that is new enough. */
const beforeInit: Negotiated = { minor: 0, flags: 0n, maxReadahead: 0 }

const EPROTO = 71

/** Calls that one request may make. */
const steps = { call: 0, fsync: 1, callAnew: 2 } as const

/** Smaller contents of a WRITE are copied out of the frame; for greater ones the frame is given away. */
const copyMaxBytes = 32 << 10

interface InFlight {
  readonly request: Request
  readonly interrupt: Interrupt
  readonly bytes: number
  /** Perhaps for ever: it takes none of the room, and a signal ends it at once. */
  readonly waits: boolean
}

/**
 * One request, one file operation, one reply. Every request that wants an answer gets one, and exactly one: a process
 * that waits for it cannot be killed. Stateless but for what is in work and what is open (DriverState).
 */
export class Driver {
  readonly #parts: DriverParts
  /** By `unique` as the kernel said it. */
  readonly #inFlight = new Map<bigint, InFlight>()
  readonly #earlyInterrupts = new Set<bigint>()
  readonly #locks: LockCalls
  #inFlightBytes = 0
  /** Of those in flight: that wait for locks. */
  #lockWaits = 0
  #paused = false

  constructor(parts: DriverParts) {
    this.#parts = parts
    this.#locks = new LockCalls(parts.client, parts.state.locks)
  }

  get inFlight(): number {
    return this.#inFlight.size
  }

  /** One message of the kernel. `kept`: the frame belongs to the driver from now on. Never throws for what is in it. */
  onMessage(frame: Frame, length: number): 'kept' | 'done' {
    const request = parseRequest(frame, length, this.#parts.state.negotiated ?? beforeInit)
    if (request.op === 'WRITE') return this.#startWrite(request)
    if (request.op === 'malformed') this.#refuse(request)
    else if (request.op === 'unknown')
      this.#parts.kernel.reply(request.header.unique, { kind: 'error', errno: errnos.ENOSYS })
    else this.#start(request)
    return 'done'
  }

  #refuse({ header, reason }: Malformed): void {
    const { kernel, log } = this.#parts
    log.error('request.malformed', { opcode: header?.opcode, unique: header?.unique, reason })
    if (header === undefined || !isAnswered(header.opcode)) return
    kernel.reply(header.unique, { kind: 'error', errno: errnos.EINVAL })
  }

  #startWrite(request: RequestOf<'WRITE'>): 'kept' | 'done' {
    const { data } = request.args
    if (this.#holdBack(request)) return 'done'
    if (data.length > copyMaxBytes) {
      this.#start(request)
      return 'kept'
    }
    this.#start({ ...request, args: { ...request.args, data: Buffer.from(data) } })
    return 'done'
  }

  #start(request: Request): void {
    const { unique } = request.header
    // Sent again while it is in work: the answer to the first is the answer to both.
    if (this.#inFlight.has(unique)) return
    if (this.#hasLostLocks(request)) return this.#reply(request, { kind: 'error', errno: errnos.EIO })
    const plan = planOf(request)
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
        this.#interrupt(plan.target)
        return
      case 'lock':
      case 'unlock':
      case 'flush':
      case 'release':
        this.#startLock(request, plan)
        return
      case 'call':
        if (this.#isListed(request)) this.#reply(request, { kind: 'listing', data: Buffer.alloc(0), endsAt: undefined })
        else if (!this.#answerFromLease(request, plan)) void this.#execute(request, plan)
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

  /** A request that is not known was answered already, or has yet to be sent again, or is just being read. */
  #interrupt(target: bigint): void {
    const found = this.#inFlight.get(target)
    if (found === undefined) {
      const [oldest] = this.#earlyInterrupts
      if (this.#earlyInterrupts.size >= earlyInterruptsMax && oldest !== undefined) this.#earlyInterrupts.delete(oldest)
      this.#earlyInterrupts.add(target)
      return
    }
    if (found.waits) return found.interrupt.abort()
    const { pid } = found.request.header
    this.#parts.interruptions.add(target, { pid, abort: () => found.interrupt.abort() })
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
    const failure = writeBehind.failure(args.fh)
    if (failure !== undefined) {
      this.#reply(request, { kind: 'error', errno: errnos[failure] })
      return true
    }
    const plan = planOf(request)
    if (args.fromCache || plan.kind !== 'call' || plan.durable !== undefined || plan.call.$case !== 'write')
      return false
    const how = { unique: header.unique & ~resentBit, resent: (header.unique & resentBit) !== 0n }
    if (!writeBehind.take(plan.call.value, callers.of(header, plan), how)) return false
    this.#reply(request, { kind: 'written', length: args.data.length })
    return true
  }

  /** @returns whether it was answered without asking anybody */
  #answerFromLease(request: Request, plan: Calling): boolean {
    const { callers, coherence, directories, log } = this.#parts
    const { header, op } = request
    const caller = callers.of(header, { judged: plan.call.$case === 'open' })
    const known = coherence.answer(plan.call, caller)
    if (known === undefined) return false
    const { held, outcome } = known
    if (outcome.kind === 'result') {
      if (directories.before(plan.call, outcome.result) !== undefined) return false
      directories.answered(plan.call, outcome.result)
    }
    let body: ReplyBody
    try {
      if (outcome.kind === 'errno') body = { kind: 'error', errno: outcome.errno }
      else body = plan.answer(outcome.result, (ino) => coherence.attributesMs(ino, held))
    } catch (error) {
      body = replyForError(error, { op, unique: header.unique, log })
    }
    this.#reply(request, told(request, body, held, coherence))
    if (asksForAcl(request)) coherence.gaveAcl(header.nodeid, held)
    return true
  }

  /**
   * From the last call's result to the written reply nothing is waited for: whoever keeps results for a driver that
   * takes over may forget one as soon as `answered` says so.
   */
  async #execute(request: Request, plan: Calling): Promise<void> {
    const { client, coherence, directories, log, state, writeBehind } = this.#parts
    const { header } = request
    const { nodeid, unique } = header
    const opening = request.op === 'OPEN' || request.op === 'OPENDIR' ? nodeid : undefined
    const signal = this.#begin(request)
    const reading = request.op === 'READ' ? readingOf(request, coherence) : undefined
    if (opening !== undefined) state.handles.use(opening)
    const making = request.op === 'CREATE' || request.op === 'TMPFILE' ? state.handles.making() : undefined
    let body: ReplyBody
    const asking = new LeasedCall(client, coherence)
    const ask = () => this.#call(header, plan, { asking, signal })
    try {
      const written = this.#writtenBefore(request, plan, signal)
      if (written !== undefined) await written
      const { writes } = writeBehind
      let result = await ask()
      const stale = isByName(plan.call) ? writeBehind.stale(result, writes) : undefined
      if (stale !== undefined) {
        await interruptible(stale, signal, this.#parts.unavailableMs)
        result = await ask()
      }
      while (reading?.cached === true && (await coherence.isToBeAskedAgain(nodeid, asking.held, reading.sinceMs))) {
        result = await ask()
      }
      const moved = directories.before(plan.call, result)
      if (moved !== undefined) await moved
      directories.answered(plan.call, result)
      body = plan.answer(result, (ino) => coherence.attributesMs(ino, asking.held))
      if (plan.durable !== undefined) await this.#fsync(request.header, plan.durable, signal)
    } catch (error) {
      body = replyForError(error, { op: request.op, unique, log })
    }
    this.#end(unique)
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

  /** Who is refused for the groups it had a moment ago is asked for once more. */
  async #call(
    header: InHeader,
    plan: Calling,
    { asking, signal }: { asking: LeasedCall; signal: InterruptSignal },
  ): Promise<FileResult> {
    const { callers, writeBehind } = this.#parts
    const unique = header.unique & ~resentBit
    const caller = callers.of(header, plan)
    const call = writeBehind.asking(plan.call, { durable: plan.durable !== undefined })
    let result: FileResult | undefined
    try {
      result = await asking.call(call, caller, { unique, step: steps.call, signal })
      return result
    } catch (error) {
      const refused = plan.judged && error instanceof FsError && (error.errno === 'EACCES' || error.errno === 'EPERM')
      const now = refused ? callers.anew(header, caller) : undefined
      if (now === undefined) throw error
      result = await asking.call(call, now, { unique, step: steps.callAnew, signal })
      return result
    } finally {
      writeBehind.asked(call, result)
    }
  }

  /** What was written here and held back is written before anything that would show it. @throws FsError */
  #writtenBefore(request: Request, plan: Calling, signal: InterruptSignal): Promise<void> | undefined {
    const { unavailableMs, writeBehind } = this.#parts
    const written = writeBehind.before(plan.call, { all: request.op === 'SYNCFS' || request.op === 'FSYNCDIR' })
    const waited = written === undefined ? undefined : interruptible(written, signal, unavailableMs)
    return request.op === 'FSYNC' ? this.#sayFailure(request, waited) : waited
  }

  async #sayFailure({ args }: RequestOf<'FSYNC'>, waited: Promise<void> | undefined): Promise<void> {
    await waited
    const failure = this.#parts.writeBehind.failure(args.fh)
    if (failure !== undefined) throw new FsError(failure, 'what was written before could not be kept')
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
    const failure =
      request.op === 'FLUSH' || request.op === 'RELEASE' ? writeBehind.failure(request.args.fh) : undefined
    if (plan.kind === 'release') state.released(plan.fh)
    this.#reply(request, failure === undefined ? body : { kind: 'error', errno: errnos[failure] })
  }

  /** As `#execute`, with as many calls as it takes. */
  async #executeLock(request: Request, plan: LockPlan): Promise<void> {
    const { callers, client, log } = this.#parts
    const { header } = request
    const { unique } = header
    const number = unique & ~resentBit
    const asked = this.#mayWaitFor(plan) ? plan : ({ ...plan, waits: false, refusal: 'ENOLCK' } as const)
    const signal = this.#begin(request, asked.kind === 'lock' && asked.waits)
    let body: ReplyBody
    try {
      const caller = callers.of(header, { judged: false })
      body = await this.#locks.perform(asked, { unique: number, caller, signal })
    } catch (error) {
      body = replyForError(error, { op: request.op, unique, log })
    }
    this.#end(unique)
    this.#endLock(request, plan, body)
    client.answered?.(number)
  }

  #mayWaitFor(plan: LockPlan): boolean {
    return plan.kind !== 'lock' || !plan.waits || this.#lockWaits < lockWaitsMax
  }

  /** O_SYNC: a write that reached no disk is no write. */
  async #fsync(header: InHeader, ino: bigint, signal: InterruptSignal): Promise<void> {
    const { callers, client } = this.#parts
    const call = { $case: 'fsync', value: { ino } } as const
    const how = { unique: header.unique & ~resentBit, step: steps.fsync, signal }
    await client.call(call, callers.of(header, { judged: false }), how)
  }

  #begin(request: Request, waits = false): InterruptSignal {
    const interrupt = new Interrupt()
    const { unique } = request.header
    const bytes = request.op === 'WRITE' ? request.args.data.length : request.op === 'READ' ? request.args.length : 0
    this.#inFlight.set(unique, { request, interrupt, bytes, waits })
    this.#inFlightBytes += bytes
    if (waits) this.#lockWaits++
    if (this.#earlyInterrupts.delete(unique)) this.#interrupt(unique)
    if (!this.#paused && !this.#hasRoom()) {
      this.#paused = true
      this.#parts.kernel.pause()
    }
    return interrupt
  }

  #end(unique: bigint): void {
    const { interruptions, kernel } = this.#parts
    const ended = this.#inFlight.get(unique)
    this.#inFlightBytes -= ended?.bytes ?? 0
    if (ended?.waits) this.#lockWaits--
    this.#inFlight.delete(unique)
    interruptions.remove(unique)
    if (this.#paused && this.#hasRoom()) {
      this.#paused = false
      kernel.resume()
    }
  }

  #hasRoom(): boolean {
    return this.#inFlight.size - this.#lockWaits < inFlightMax && this.#inFlightBytes < inFlightBytesMax
  }

  /** What is open is noted before the kernel can know of it, so that it is not forgotten if this process dies. */
  #reply(request: Request, body: ReplyBody): void {
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

const isListing = (request: Request): request is RequestOf<'READDIR' | 'READDIRPLUS'> =>
  request.op === 'READDIR' || request.op === 'READDIRPLUS'

function readingOf({ args, header }: RequestOf<'READ'>, coherence: Coherence) {
  const range = coherence.readBegan(header.nodeid, args.offset, args.length)
  return { range, cached: isCachedHandle(args.fh), sinceMs: performance.now() }
}
