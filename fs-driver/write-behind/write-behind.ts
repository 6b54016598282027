import { type Errno, FsError } from '../../proto/errno.ts'
import type { Attributes, Caller, Hold, Write } from '../../proto/generated/file-service.ts'
import type { Coherence } from '../cache/coherence.ts'
import type { Log } from '../log.ts'
import type { FileCall, FileClient, FileResult, Outcome } from '../router/file-client.ts'
import type { HoldHolder } from '../router/hold-holder.ts'
import type { ExtentFile } from './extent-file.ts'
import { Failures } from './failures.ts'
import { fitsExtent, HeldBack, type HeldWrite } from './held-back.ts'
import type { HeldDirectory } from './held-directories.ts'
import { type Asking, HeldTree } from './held-tree.ts'
import { type Held, Holds } from './holds.ts'
import { ourselves, ownCalls } from './own-calls.ts'
import type { HeldStep, StepFiles } from './step-files.ts'
import { inosOfStep, Steps } from './steps.ts'
import { inosIn, inosOf, isAboutNames, parentsOf, takesAway } from './subjects.ts'

export interface WriteBehindParts {
  readonly client: () => FileClient
  readonly coherence: Coherence
  readonly file: ExtentFile
  readonly stepFiles: StepFiles
  /** See HandleTable. */
  readonly open: { isOpenForWriting(ino: bigint): boolean; handlesOf(ino: bigint): readonly bigint[] }
  readonly nowMs: () => number
  readonly log: Log
}

const tickMs = 50
/** As a time: the server's own, when it is done there. */
const latest = 2n ** 63n - 1n
/** Greater writes go the way of those that continue each other. */
const scatteredBytesMax = 64 << 10
/** A hold of a file that nobody writes to is given back after so long, together with others. */
const idleMs = 500
const releasedAtOnce = 256
/** What comes near to the greatest file that there can be is written through: it may have to be refused. */
const endMax = 2n ** 43n

/** What had been held back by then. */
export interface Mark {
  readonly writes: number
  readonly steps: bigint
}

/**
 * Write-behind under holds (S1): while the session has the hold on a file, writes to it are answered at once and sent
 * later. Whatever else is asked about such a file here waits until they are written; whoever asks elsewhere makes the
 * primary ask for the hold.
 */
export class WriteBehind implements HoldHolder {
  readonly failures: Failures
  readonly #parts: WriteBehindParts
  readonly #holds: Holds
  readonly #heldBack: HeldBack
  readonly #steps: Steps
  readonly #tree: HeldTree
  /** Requests whose steps an earlier driver left: it may not have answered them. */
  readonly #left = new Map<bigint, bigint>()
  /** Numbers of holds that are being given back. */
  readonly #releasing = new Set<bigint>()
  readonly #timer: NodeJS.Timeout

  constructor(parts: WriteBehindParts) {
    this.#parts = parts
    this.#holds = new Holds(parts.nowMs)
    this.failures = new Failures(parts)
    this.#heldBack = new HeldBack({ ...parts, onFailed: (ino, errno) => this.failures.failed(ino, errno) })
    for (const { ino, hold } of this.#heldBack.left()) this.#holds.inherit(ino, hold)
    this.#steps = new Steps({
      client: parts.client,
      coherence: parts.coherence,
      files: parts.stepFiles,
      nowMs: parts.nowMs,
      wanted: (ino) => (parts.open.isOpenForWriting(ino) ? this.#holds.wish(parts.coherence.term) : undefined),
      onDone: (step, errno, took) => this.#onDone(step, errno, took),
      log: parts.log,
    })
    this.#tree = new HeldTree({
      ...parts,
      steps: this.#steps,
      files: this.#holds,
      heldBack: this.#heldBack,
      release: (holds) => void this.#release(holds),
    })
    for (const { steps } of parts.stepFiles.left) for (const { unique, ino } of steps) this.#left.set(unique, ino)
    this.#timer = setInterval(() => this.#onTick(), tickMs)
  }

  /**
   * Holds a write back, if that may be. `resent`: it may have been held back, and even answered, before.
   *
   * @returns whether it may be answered now
   */
  take(write: Write, caller: Caller, { unique, resent }: { unique: bigint; resent: boolean }): boolean {
    // Else it may have been sent already, and not been answered.
    if (resent) return this.#heldBack.hasInherited(unique) || this.#left.has(unique)
    if (this.#tree.names.write(write, caller, unique)) return true
    const { coherence } = this.#parts
    const held = this.#holds.usable(write.ino, coherence.term)
    if (held === undefined || !coherence.isLeased || coherence.isReading(write.ino)) return false
    const { ino, data, killPrivileges } = write
    const offset = write.append ? held.size : write.offset
    const end = offset + BigInt(data.length)
    if (end > endMax || !fitsExtent({ data, caller })) return false
    const { number: hold } = held
    const one = { ino, hold, offset, data, killPrivileges, caller, unique }
    if (!(this.#isScattered(held, one) ? this.#addStep(one) : this.#heldBack.add(one))) return false
    this.#holds.wrote(held, end)
    this.#tree.wrote(ino)
    return true
  }

  /** Writes here and there are sent many at a time; those that continue each other as one. Of a file only either waits. */
  #isScattered({ lastEnd }: Held, { ino, offset }: HeldWrite): boolean {
    if (this.#steps.isDirty(ino)) return true
    return lastEnd !== undefined && offset !== lastEnd && !this.#heldBack.isDirty(ino)
  }

  #addStep({ caller, data, hold, ino, killPrivileges, offset, unique }: HeldWrite): boolean {
    if (data.length > scatteredBytesMax || !this.#steps.hasRoom) return false
    const atNs = this.#tree.time.next(0n) ?? latest
    // Its time must not take the file's back: it is as old as it was held back long.
    const value = { ino, offset, data: Buffer.from(data), append: false, killPrivileges, ageNs: 0n }
    const step: HeldStep['step'] = {
      call: { kind: { $case: 'write', value } },
      caller,
      atNs,
      under: { ino, number: hold },
      also: [],
    }
    return this.#steps.add({ unique, ino, victim: undefined, step }, { unseen: true })
  }

  /** The same for what makes, changes or shows what is made under holds on directories: what it comes to, or undefined. */
  answer(call: FileCall, caller: Caller, unique: bigint): Outcome | undefined {
    const outcome = this.#tree.answer(call, caller, unique)
    if (outcome?.kind !== 'result') return outcome
    const { result } = outcome
    const { coherence } = this.#parts
    if (result.$case === 'attributes') {
      return { kind: 'result', result: { ...result, value: coherence.asShown(result.value) } }
    }
    if (result.$case !== 'entry' || result.value.attributes === undefined) return outcome
    const attributes = coherence.asShown(result.value.attributes)
    return { kind: 'result', result: { ...result, value: { ...result.value, attributes } } }
  }

  /** Of what is known under holds on directories, as it is shown here. */
  attributes(ino: bigint): Attributes | undefined {
    const attributes = this.#tree.attributes(ino)
    return attributes && this.#parts.coherence.asShown(attributes)
  }

  /** The servers know that it was read then. */
  readIsTold(ino: bigint, atNs: bigint): void {
    this.#tree.names.readIsTold(ino, atNs)
  }

  /** An earlier driver held this request back: the inode that it is about. What is held back is to be sent first. */
  leftBy(unique: bigint): bigint | undefined {
    return this.#left.get(unique)
  }

  /** As HeldTree.settling. */
  settling(call: FileCall): Promise<void> | undefined {
    return this.#tree.settling(call)
  }

  /** What has to be written before this is asked for; undefined: nothing. `all`: whatever it is about. */
  before(call: FileCall, { all }: { all: boolean }): Promise<void> | undefined {
    const everything = all || isAboutNames(call)
    const waits: Promise<void>[] = []
    this.#tree.names.closing(call)
    if (!this.#steps.isEmpty && (everything || takesAway(call) || this.#isAboutSteps(call)))
      waits.push(this.#steps.sent())
    const inos = everything ? 'all' : inosOf(call).filter((ino) => this.#heldBack.isDirty(ino))
    if (!this.#heldBack.isEmpty && inos.length > 0) waits.push(this.#heldBack.sent(inos))
    return waits.length === 0 ? undefined : Promise.all(waits).then(() => undefined)
  }

  /** The same before locks of a file are asked for. */
  beforeLock(ino: bigint): Promise<void> | undefined {
    return this.#stepsSent(ino)
  }

  #isDirty(ino: bigint): boolean {
    return this.#heldBack.isDirty(ino) || this.#steps.isDirty(ino)
  }

  #stepsSent(ino: bigint): Promise<void> | undefined {
    return this.#steps.isDirty(ino) ? this.#steps.sent() : undefined
  }

  #isAboutSteps(call: FileCall): boolean {
    const { value } = call
    if (call.$case === 'lookup') {
      const { name, parent } = call.value
      return this.#steps.isNaming(parent, name) || this.#steps.isJudging(parent)
    }
    const locked = 'range' in value && value.range !== undefined ? [value.range.ino] : []
    const inos = [...inosOf(call), ...('ino' in value ? [value.ino] : []), ...parentsOf(call), ...locked]
    return inos.some((ino) => this.#steps.isDirty(ino))
  }

  /** How much has been answered here so far. */
  get mark(): Mark {
    return { writes: this.#heldBack.writes, steps: this.#steps.mark }
  }

  /** Does an answer tell of an inode of which something was held back by then? It resolves when one may ask again. */
  stale(result: FileResult, { steps, writes }: Mark): Promise<void> | undefined {
    if (this.#heldBack.isEmpty && this.#steps.isEmpty) return undefined
    const inos = inosIn(result)
    const owed = inos.filter((ino) => this.#heldBack.isOwed(ino, writes))
    const waits: Promise<void>[] = []
    if (owed.length > 0) waits.push(this.#heldBack.sent(owed))
    if (inos.some((ino) => this.#steps.isOwed(ino, steps))) waits.push(this.#steps.sent())
    return waits.length === 0 ? undefined : Promise.all(waits).then(() => undefined)
  }

  /**
   * A call is about to be sent: the same, perhaps with the wish for a hold. `asked` is to be told what came of it; result
   * undefined: it failed, with that errno if it was answered.
   */
  asking(call: FileCall, { durable }: { durable: boolean }): Asking {
    this.#holds.began(call)
    const { coherence } = this.#parts
    const { term } = coherence
    const wishes = !durable && coherence.isLeased
    const under = this.#tree.asking(call, { wishes })
    const sent = wishes ? this.#holds.asking(under.call, term) : under.call
    const asked: Asking['asked'] = (result, errno) => {
      under.asked(result, errno)
      const gone = this.#holds.ended(sent, result, (ino) => this.#isDirty(ino))
      if (gone !== undefined) void this.#release([gone])
    }
    return { call: sent, asked }
  }

  onRecallHold({ ino, number }: Hold): void {
    const held = this.#holds.get(ino)
    if (held?.number === number) {
      if (held.leaving) return
      this.#holds.recalled(held)
      void Promise.all([this.#heldBack.sent([ino]), this.#stepsSent(ino)]).then(() => this.#release([held]))
    } else if (!this.#tree.recall({ ino, number }) && !this.#holds.isAsking(number)) {
      // A driver before this one had it, and may have left something under it; or nobody has heard that it was given.
      void this.#steps.sent().then(() => this.#release([{ ino, number }]))
    }
  }

  onSessionEnded(): void {
    this.#holds.clear()
    this.#tree.clear()
  }

  /** The mount is gone. Resolves when all is written that was held back. */
  async end(): Promise<void> {
    await Promise.all([this.#steps.sent(), this.#heldBack.sent('all')])
    clearInterval(this.#timer)
    this.#parts.file.close()
    this.#parts.stepFiles.close()
  }

  #onDone(held: HeldStep, errno: Errno | undefined, took: bigint | undefined): void {
    const { ino, step, victim } = held
    const size = this.#tree.names.done(ino)
    if (victim !== undefined) this.#tree.names.done(victim)
    const isMaking = step.call?.kind?.$case === 'create'
    if (took !== undefined && isMaking) this.#holds.wished(ino, took, { given: errno === undefined, size })
    if (errno !== undefined) for (const failed of inosOfStep(held)) this.failures.failed(failed, errno)
  }

  #onTick(): void {
    this.#heldBack.onTick()
    this.#steps.onTick()
    this.#releaseIdle()
  }

  #releaseIdle(): void {
    const { open, nowMs } = this.#parts
    const idle: (Held | HeldDirectory)[] = this.#tree.idle(releasedAtOnce / 2)
    for (const held of this.#holds.all()) {
      if (idle.length >= releasedAtOnce) break
      if (held.leaving || nowMs() - held.usedMs < idleMs || open.isOpenForWriting(held.ino)) continue
      if (this.#isDirty(held.ino) || this.#holds.isChanging(held.ino) || this.#tree.needs(held.ino)) continue
      idle.push(held)
    }
    if (idle.length === 0) return
    for (const held of idle) held.leaving = true
    void this.#release(idle)
  }

  /** The hold may be another's, or nobody's, by now: the servers know. */
  async #release(all: readonly Pick<Held, 'ino' | 'number'>[]): Promise<void> {
    const holds = all.filter(({ number }) => !this.#releasing.has(number)).map(({ ino, number }) => ({ ino, number }))
    if (holds.length === 0) return
    for (const { number } of holds) this.#releasing.add(number)
    const unique = ownCalls.release(process.hrtime.bigint())
    const client = this.#parts.client()
    try {
      const call = { $case: 'releaseHolds', value: { holds } } as const
      await client.call(call, ourselves, { unique, step: 0, patient: true, urgent: true })
    } catch (error) {
      // The session has ended, or its history is lost: whoever still finds the hold there asks again.
      if (!(error instanceof FsError)) throw error
    }
    client.answered?.(unique)
    for (const hold of holds) {
      this.#releasing.delete(hold.number)
      this.#holds.released(hold)
      this.#tree.released(hold)
    }
  }
}
