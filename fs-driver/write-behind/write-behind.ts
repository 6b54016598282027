import { type Errno, FsError } from '../../proto/errno.ts'
import type { Caller, Hold, Write } from '../../proto/generated/file-service.ts'
import type { Coherence } from '../cache/coherence.ts'
import type { Log } from '../log.ts'
import type { FileCall, FileClient, FileResult } from '../router/file-client.ts'
import type { HoldHolder } from '../router/hold-holder.ts'
import type { ExtentFile } from './extent-file.ts'
import { fitsExtent, HeldBack } from './held-back.ts'
import { type Held, Holds } from './holds.ts'

export interface WriteBehindParts {
  readonly client: () => FileClient
  readonly coherence: Coherence
  readonly file: ExtentFile
  /** See HandleTable. */
  readonly open: { isOpenForWriting(ino: bigint): boolean; writingTo(ino: bigint): readonly bigint[] }
  readonly nowMs: () => number
  readonly log: Log
}

const tickMs = 50
/** A hold of a file that nobody writes to is given back after so long, together with others. */
const idleMs = 500
const releasedAtOnce = 256
/** What comes near to the greatest file that there can be is written through: it may have to be refused. */
const endMax = 2n ** 43n

const root: Caller = { uid: 0, gid: 0, groups: [], pid: 0 }
/** Numbers of calls that the kernel has not asked for: odd, as those of held-back writes, and far from them. */
const releaseBit = 1n << 62n

/**
 * Write-behind under holds (S1): while the session has the hold on a file, writes to it are answered at once and sent
 * later. Whatever else is asked about such a file here waits until they are written; whoever asks elsewhere makes the
 * primary ask for the hold.
 */
export class WriteBehind implements HoldHolder {
  readonly #parts: WriteBehindParts
  readonly #holds: Holds
  readonly #heldBack: HeldBack
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
    this.#timer = setInterval(() => this.#onTick(), tickMs)
  }

  /**
   * Holds a write back, if that may be. `resent`: it may have been held back, and even answered, before.
   *
   * @returns whether it may be answered now
   */
  take(write: Write, caller: Caller, { unique, resent }: { unique: bigint; resent: boolean }): boolean {
    if (resent) return this.#heldBack.hasInherited(unique) // else it may have been sent already, and not been answered
    const { coherence } = this.#parts
    const held = this.#holds.usable(write.ino, coherence.term)
    if (held === undefined || !coherence.isLeased || coherence.isReading(write.ino)) return false
    const { ino, data, killPrivileges } = write
    const offset = write.append ? held.size : write.offset
    const end = offset + BigInt(data.length)
    if (end > endMax || !fitsExtent({ data, caller })) return false
    const { number: hold } = held
    if (!this.#heldBack.add({ ino, hold, offset, data, killPrivileges, caller, unique })) return false
    this.#holds.wrote(held, end)
    return true
  }

  /** What has to be written before this is asked for; undefined: nothing. `all`: of every file. */
  before(call: FileCall, { all }: { all: boolean }): Promise<void> | undefined {
    if (this.#heldBack.isEmpty) return undefined
    if (all || isAboutNames(call)) return this.#heldBack.sent('all')
    const inos = inosOf(call).filter((ino) => this.#heldBack.isDirty(ino))
    return inos.length === 0 ? undefined : this.#heldBack.sent(inos)
  }

  /** Writes answered here so far. */
  get writes(): number {
    return this.#heldBack.writes
  }

  /** Does an answer tell of a file of which something was held back by then? It resolves when one may ask again. */
  stale(result: FileResult, write: number): Promise<void> | undefined {
    if (this.#heldBack.isEmpty) return undefined
    const owed = inosIn(result).filter((ino) => this.#heldBack.isOwed(ino, write))
    return owed.length === 0 ? undefined : this.#heldBack.sent(owed)
  }

  /** A change is about to be sent: the same, perhaps with the wish for a hold. */
  asking(call: FileCall, { durable }: { durable: boolean }): FileCall {
    this.#holds.began(call)
    const { coherence } = this.#parts
    return durable || !coherence.isLeased ? call : this.#holds.asking(call, coherence.term)
  }

  /** `result` undefined: it failed. */
  asked(call: FileCall, result: FileResult | undefined): void {
    const gone = this.#holds.ended(call, result, (ino) => this.#heldBack.isDirty(ino))
    if (gone !== undefined) void this.#release([gone])
  }

  /** What became of what was written through that handle and held back; said once. */
  failure(fh: bigint): Errno | undefined {
    const errno = this.#failures.get(fh)
    if (errno !== undefined) this.#failures.delete(fh)
    return errno
  }

  onRecallHold({ ino, number }: Hold): void {
    const held = this.#holds.get(ino)
    if (held?.number === number) {
      if (held.leaving) return
      this.#holds.recalled(held)
      void this.#heldBack.sent([ino]).then(() => this.#release([held]))
    } else if (!this.#holds.isAsking(number)) {
      // A driver before this one had it, or nobody has heard that it was given.
      void this.#release([{ ino, number }])
    }
  }

  onSessionEnded(): void {
    this.#holds.clear()
  }

  /** The mount is gone. Resolves when all is written that was held back. */
  async end(): Promise<void> {
    await this.#heldBack.sent('all')
    clearInterval(this.#timer)
    this.#parts.file.close()
  }

  #onTick(): void {
    this.#heldBack.onTick()
    const { open, nowMs } = this.#parts
    const idle: Held[] = []
    for (const held of this.#holds.all()) {
      if (idle.length >= releasedAtOnce) break
      if (held.leaving || nowMs() - held.usedMs < idleMs || open.isOpenForWriting(held.ino)) continue
      if (!this.#heldBack.isDirty(held.ino) && !this.#holds.isChanging(held.ino)) idle.push(held)
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
    }
  }
}

/** What must not be seen before what was written earlier, whatever names are about: after a crash either both are there or none. */
function isAboutNames(call: FileCall): boolean {
  if (call.$case === 'rename' || call.$case === 'link') return true
  return call.$case === 'create' && (call.value.flags & openExclusive) === 0
}

const openExclusive = 0o200 // O_EXCL of Linux

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
