import { type Errno, FsError } from '../../proto/errno.ts'
import type { Caller, Entry, Hold, Write } from '../../proto/generated/file-service.ts'
import { routeOf } from '../../proto/route.ts'
import type { Coherence } from '../cache/coherence.ts'
import { LeasedCall } from '../cache/leased-call.ts'
import type { Log } from '../log.ts'
import type { FileCall, FileClient, FileResult, Outcome } from '../router/file-client.ts'
import type { HoldHolder } from '../router/hold-holder.ts'
import type { ExtentFile } from './extent-file.ts'
import { fitsExtent, HeldBack, type HeldWrite } from './held-back.ts'
import { HeldDirectories, type HeldDirectory } from './held-directories.ts'
import { HeldNames, textOf } from './held-names.ts'
import { type Held, Holds } from './holds.ts'
import { HostNumbers } from './host-numbers.ts'
import { NumberPool } from './number-pool.ts'
import { ServerTime } from './server-time.ts'
import type { HeldStep, StepFiles } from './step-files.ts'
import { Steps } from './steps.ts'

export interface WriteBehindParts {
  readonly client: () => FileClient
  readonly coherence: Coherence
  readonly file: ExtentFile
  readonly stepFiles: StepFiles
  /** See HandleTable. */
  readonly open: { isOpenForWriting(ino: bigint): boolean; writingTo(ino: bigint): readonly bigint[] }
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
/** And one of a directory in which nobody makes anything. */
const directoryIdleMs = 2_000
const releasedAtOnce = 256
/** What comes near to the greatest file that there can be is written through: it may have to be refused. */
const endMax = 2n ** 43n

const root: Caller = { uid: 0, gid: 0, groups: [], pid: 0 }
/** Numbers of calls that the kernel has not asked for: odd, as those of held-back writes, and far from them. */
const releaseBit = 1n << 62n
const askBit = 1n << 60n

export interface Asking {
  readonly call: FileCall
  readonly asked: (result: FileResult | undefined, errno: Errno | undefined) => void
}

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
  readonly #parts: WriteBehindParts
  readonly #holds: Holds
  readonly #heldBack: HeldBack
  readonly #directories: HeldDirectories
  readonly #steps: Steps
  readonly #names: HeldNames
  readonly #inodes: NumberPool
  readonly #time = new ServerTime()
  readonly #directoryNumbers = new HostNumbers()
  /** Requests whose steps an earlier driver left: it may not have answered them. */
  readonly #left = new Map<bigint, bigint>()
  /** By handle. */
  readonly #failures = new Map<bigint, Errno>()
  /** Numbers of holds that are being given back. */
  readonly #releasing = new Set<bigint>()
  readonly #timer: NodeJS.Timeout

  constructor(parts: WriteBehindParts) {
    this.#parts = parts
    this.#holds = new Holds(parts.nowMs)
    const onFailed = (ino: bigint, errno: Errno): void => {
      for (const fh of parts.open.writingTo(ino)) this.#failures.set(fh, errno)
    }
    this.#heldBack = new HeldBack({ ...parts, onFailed })
    for (const { ino, hold } of this.#heldBack.left()) this.#holds.inherit(ino, hold)
    this.#directories = new HeldDirectories(parts.nowMs)
    this.#inodes = new NumberPool((count) => this.#takeNumbers(count))
    this.#steps = new Steps({
      client: parts.client,
      coherence: parts.coherence,
      files: parts.stepFiles,
      nowMs: parts.nowMs,
      wanted: (ino) => (parts.open.isOpenForWriting(ino) ? this.#holds.wish(parts.coherence.term) : undefined),
      onDone: (step, errno, took) => this.#onDone(step, errno, took),
      log: parts.log,
    })
    this.#names = new HeldNames({
      directories: this.#directories,
      steps: this.#steps,
      numbers: this.#inodes,
      time: this.#time,
      term: () => (parts.coherence.isLeased ? parts.coherence.term : undefined),
      holdNumber: () => this.#directoryNumbers.next(),
      leasedEntry: (parent, name) => parts.coherence.entry(parent, name),
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
    if (this.#names.write(write, caller, unique)) return true
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
    return true
  }

  /** Writes here and there are sent many at a time; those that continue each other as one. Of a file only either waits. */
  #isScattered({ lastEnd }: Held, { ino, offset }: HeldWrite): boolean {
    if (this.#steps.isDirty(ino)) return true
    return lastEnd !== undefined && offset !== lastEnd && !this.#heldBack.isDirty(ino)
  }

  #addStep({ caller, data, hold, ino, killPrivileges, offset, unique }: HeldWrite): boolean {
    if (data.length > scatteredBytesMax || !this.#steps.hasRoom) return false
    const atNs = this.#time.next(0n) ?? latest
    // Its time must not take the file's back: it is as old as it was held back long.
    const value = { ino, offset, data: Buffer.from(data), append: false, killPrivileges, ageNs: 0n }
    const step = { call: { kind: { $case: 'write', value } }, caller, atNs, under: { ino, number: hold } } as const
    return this.#steps.add({ unique, ino, step }, { unseen: true })
  }

  /** The same for what makes, changes or shows what is made under holds on directories: what it comes to, or undefined. */
  answer(call: FileCall, caller: Caller, unique: bigint): Outcome | undefined {
    return this.#names.answer(call, caller, unique)
  }

  /** An earlier driver held this request back: the inode that it is about. What is held back is to be sent first. */
  leftBy(unique: bigint): bigint | undefined {
    return this.#left.get(unique)
  }

  /** Resolves when what this makes may perhaps be held back: the directory is held, and is being asked about. */
  settling(call: FileCall): Promise<void> | undefined {
    if (call.$case !== 'create' && call.$case !== 'mkdir' && call.$case !== 'symlink') return undefined
    const held = this.#directories.get(call.value.parent)
    if (held?.settling !== undefined) return held.settling
    const { coherence } = this.#parts
    if (held === undefined || !held.plain || held.leaving || held.term !== coherence.term) return undefined
    if (held.attributes !== undefined || !this.#directories.isBusy(held.ino)) return undefined
    held.settling = this.#settle(held).finally(() => {
      held.settling = undefined
    })
    return held.settling
  }

  /** What has to be written before this is asked for; undefined: nothing. `all`: whatever it is about. */
  before(call: FileCall, { all }: { all: boolean }): Promise<void> | undefined {
    const everything = all || isAboutNames(call)
    const waits: Promise<void>[] = []
    this.#names.closing(call, everything || takesAway(call))
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
    if (call.$case === 'lookup') return this.#steps.isMaking(call.value.parent, call.value.name)
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
    const names = namesOf(call)
    for (const { dir, name } of names) this.#directories.began(dir, name)
    if (endsPlainness(call)) this.#leave(this.#directories.get(call.value.ino))
    const { coherence, nowMs } = this.#parts
    const { term } = coherence
    const askedMs = nowMs()
    const sent = durable || !coherence.isLeased ? call : this.#wishing(call, term)
    const asked = (result: FileResult | undefined, errno: Errno | undefined): void => {
      const isMade = result?.$case === 'entry' && makes(sent)
      for (const { dir } of names) this.#directories.ended(dir, { made: isMade })
      if (result !== undefined && (call.$case === 'rmdir' || call.$case === 'rename')) this.#directories.mayBeGone()
      if (isMade) this.#madeThrough(sent, result.value, term)
      if (call.$case === 'lookup' && errno === 'ENOENT') {
        this.#directories.isAbsent(call.value.parent, textOf(call.value.name), askedMs)
      }
      const gone = this.#holds.ended(sent, result, (ino) => this.#isDirty(ino))
      if (gone !== undefined) void this.#release([gone])
    }
    return { call: sent, asked }
  }

  /** What became of what was written through that handle and held back; said once. */
  failure(fh: bigint): Errno | undefined {
    const errno = this.#failures.get(fh)
    if (errno !== undefined) this.#failures.delete(fh)
    return errno
  }

  onRecallHold({ ino, number }: Hold): void {
    const held = this.#holds.get(ino)
    const directory = this.#directories.get(ino)
    if (held?.number === number) {
      if (held.leaving) return
      this.#holds.recalled(held)
      void Promise.all([this.#heldBack.sent([ino]), this.#stepsSent(ino)]).then(() => this.#release([held]))
    } else if (directory?.number === number) {
      this.#leave(directory)
    } else if (!this.#holds.isAsking(number) && !this.#directories.isAsking(number)) {
      // A driver before this one had it, or nobody has heard that it was given.
      void this.#release([{ ino, number }])
    }
  }

  onSessionEnded(): void {
    this.#holds.clear()
    this.#directories.clear()
    this.#inodes.clear()
  }

  /** The mount is gone. Resolves when all is written that was held back. */
  async end(): Promise<void> {
    await Promise.all([this.#steps.sent(), this.#heldBack.sent('all')])
    clearInterval(this.#timer)
    this.#parts.file.close()
    this.#parts.stepFiles.close()
  }

  /** The hold on a directory is given back when all is done that was held back under it. */
  #leave(directory: HeldDirectory | undefined): void {
    if (directory === undefined || directory.leaving) return
    this.#directories.recalled(directory)
    void this.#steps.sent().then(() => this.#release([directory]))
  }

  /** A directory that is made is about to be filled, unless others work beside it. */
  #wishing(call: FileCall, term: number): FileCall {
    if (call.$case !== 'mkdir') return this.#holds.asking(call, term)
    if (this.#directories.isFull || this.#directories.rests(call.value.parent)) return call
    return { $case: 'mkdir', value: { ...call.value, take: this.#directoryNumbers.next() } }
  }

  #madeThrough(call: Makes, entry: Entry, term: number): void {
    const { attributes, hold } = entry
    const { parent } = call.value
    if (attributes !== undefined) this.#time.heard(attributes.ctimeNs)
    if (call.$case === 'mkdir' && attributes !== undefined && hold !== undefined) {
      // An earlier driver may have asked in the same words: that hold is given back as nobody's.
      if (hold === call.value.take) this.#directories.born(attributes.ino, hold, term)
      else void this.#release([{ ino: attributes.ino, number: hold }])
    }
    if (this.#parts.coherence.isLeased) void this.#takeDirectory(parent)
  }

  async #takeDirectory(ino: bigint): Promise<void> {
    const number = this.#directoryNumbers.next()
    if (!this.#directories.ask(ino, number)) return
    this.#inodes.fill()
    const { term } = this.#parts.coherence
    const sent = this.#directories.changesSent(ino)
    const wasQuiet = !this.#directories.isChanging(ino)
    const result = await this.#ask({ $case: 'takeHold', value: { ino, number } })
    const taken = result?.$case === 'heldDirectory' ? result.value : undefined
    const quiet = wasQuiet && this.#directories.changesSent(ino) === sent
    if (this.#directories.asked(ino, { number, term, taken, quiet })) void this.#release([{ ino, number }])
  }

  /** What the directory is like, when all is answered that was sent. */
  async #settle(held: HeldDirectory): Promise<void> {
    await this.#directories.quiet(held.ino)
    const sent = this.#directories.changesSent(held.ino)
    const result = await this.#ask({ $case: 'getattr', value: { ino: held.ino } })
    if (result?.$case !== 'attributes' || this.#directories.changesSent(held.ino) !== sent) return
    if (!this.#steps.isDirty(held.ino)) held.attributes = result.value
  }

  async #takeNumbers(count: number): Promise<bigint | undefined> {
    const result = await this.#ask({ $case: 'takeNumbers', value: { count } })
    return result?.$case === 'numbers' && result.value.count === count ? result.value.first : undefined
  }

  /** For ourselves. @returns undefined: it was refused */
  async #ask(call: FileCall): Promise<FileResult | undefined> {
    const { client, coherence } = this.#parts
    const unique = askBit | (this.#directoryNumbers.next() << 1n) | 1n
    try {
      const caller = root
      const asking = new LeasedCall(client(), coherence)
      return await asking.call(call, caller, { unique, step: 0 })
    } catch (error) {
      if (!(error instanceof FsError)) throw error
      return undefined
    } finally {
      client().answered?.(unique)
    }
  }

  #onDone(held: HeldStep, errno: Errno | undefined, took: bigint | undefined): void {
    const { ino, step } = held
    const size = this.#names.done(held)
    const isMaking = step.call?.kind?.$case === 'create'
    if (took !== undefined && isMaking) this.#holds.wished(ino, took, { given: errno === undefined, size })
    if (errno === undefined) return
    for (const fh of this.#parts.open.writingTo(ino)) this.#failures.set(fh, errno)
  }

  #onTick(): void {
    this.#heldBack.onTick()
    this.#steps.onTick()
    this.#releaseIdle()
  }

  #idleDirectories(): HeldDirectory[] {
    const idle: HeldDirectory[] = []
    const before = this.#parts.nowMs() - directoryIdleMs
    for (const held of this.#directories.all()) {
      if (idle.length >= releasedAtOnce / 2) break
      const isUsed = held.usedMs > before || held.settling !== undefined || this.#directories.isChanging(held.ino)
      if (!held.leaving && !isUsed && !this.#steps.isDirty(held.ino)) idle.push(held)
    }
    return idle
  }

  #releaseIdle(): void {
    const { open, nowMs } = this.#parts
    const idle: (Held | HeldDirectory)[] = this.#idleDirectories()
    for (const held of this.#holds.all()) {
      if (idle.length >= releasedAtOnce) break
      if (held.leaving || nowMs() - held.usedMs < idleMs || open.isOpenForWriting(held.ino)) continue
      if (!this.#isDirty(held.ino) && !this.#holds.isChanging(held.ino)) idle.push(held)
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
    const unique = releaseBit | (process.hrtime.bigint() << 1n) | 1n
    const client = this.#parts.client()
    try {
      const call = { $case: 'releaseHolds', value: { holds } } as const
      await client.call(call, root, { unique, step: 0, patient: true, urgent: true })
    } catch (error) {
      // The session has ended, or its history is lost: whoever still finds the hold there asks again.
      if (!(error instanceof FsError)) throw error
    }
    client.answered?.(unique)
    for (const hold of holds) {
      this.#releasing.delete(hold.number)
      this.#holds.released(hold)
      this.#directories.released(hold)
    }
  }
}

/** What must not be seen before what was written earlier, whatever names are about: after a crash either both are there or none. */
function isAboutNames(call: FileCall): boolean {
  if (call.$case === 'rename' || call.$case === 'link') return true
  return call.$case === 'create' && (call.value.flags & openExclusive) === 0
}

const openExclusive = 0o200 // O_EXCL of Linux

type Makes = Extract<FileCall, { $case: 'create' | 'mkdir' | 'mknod' | 'symlink' }>

const makes = (call: FileCall): call is Makes =>
  call.$case === 'create' || call.$case === 'mkdir' || call.$case === 'mknod' || call.$case === 'symlink'

/** It may take away what is known here by its number only, or what is in it. */
const takesAway = ({ $case }: FileCall): boolean => $case === 'unlink' || $case === 'rmdir'

/** Names that a change may make, take away or lead elsewhere; without one: the directory itself is changed. */
function namesOf(call: FileCall): readonly { readonly dir: bigint; readonly name: string | undefined }[] {
  if (routeOf(call) !== 'change' || call.$case === 'batch' || call.$case === 'takeHold') return []
  if (call.$case === 'rename') {
    const { name, newName, newParent, parent } = call.value
    return [
      { dir: parent, name: textOf(name) },
      { dir: newParent, name: textOf(newName) },
    ]
  }
  if ('parent' in call.value && 'name' in call.value) return [{ dir: call.value.parent, name: textOf(call.value.name) }]
  return call.$case === 'setattr' || call.$case === 'setxattr' || call.$case === 'removexattr'
    ? [{ dir: call.value.ino, name: undefined }]
    : []
}

/** What is made in the directory may depend on it from then on. */
const endsPlainness = (call: FileCall): call is Extract<FileCall, { $case: 'setattr' | 'setxattr' }> =>
  call.$case === 'setxattr' || (call.$case === 'setattr' && call.value.flags !== undefined)

const parentsOf = (call: FileCall): readonly bigint[] =>
  'newParent' in call.value
    ? [call.value.parent, call.value.newParent]
    : 'parent' in call.value
      ? [call.value.parent]
      : []

/** Files that the call is about, and whose contents, size or times it shows or depends on. */
function inosOf(call: FileCall): readonly bigint[] {
  if (call.$case === 'copyRange') return [call.value.ino, call.value.source]
  return 'ino' in call.value && call.$case !== 'access' ? [call.value.ino] : []
}

function inosIn(result: FileResult): bigint[] {
  if (result.$case === 'listing') return result.value.entries.flatMap(({ attributes }) => attributes?.ino ?? [])
  if (result.$case !== 'entry' || result.value.attributes === undefined) return []
  return [result.value.attributes.ino]
}
