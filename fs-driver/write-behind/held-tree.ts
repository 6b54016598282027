import { type Errno, FsError } from '../../proto/errno.ts'
import type { Entry, Hold } from '../../proto/generated/file-service.ts'
import type { Coherence } from '../cache/coherence.ts'
import { LeasedCall } from '../cache/leased-call.ts'
import { textOf } from '../names.ts'
import type { FileCall, FileClient, FileResult } from '../router/file-client.ts'
import { HeldDirectories, type HeldDirectory } from './held-directories.ts'
import { HeldNames } from './held-names.ts'
import { HostNumbers } from './host-numbers.ts'
import { NumberPool } from './number-pool.ts'
import { ourselves, ownCalls } from './own-calls.ts'
import { ServerTime } from './server-time.ts'
import type { Steps } from './steps.ts'
import { endsPlainness, type Makes, makes, makesHere, namesOf } from './subjects.ts'

export interface HeldTreeParts {
  readonly client: () => FileClient
  readonly coherence: Coherence
  readonly steps: Steps
  readonly nowMs: () => number
  /** Gives these holds back, now. */
  readonly release: (holds: readonly Hold[]) => void
}

export interface Asking {
  readonly call: FileCall
  readonly asked: (result: FileResult | undefined, errno: Errno | undefined) => void
}

/** The hold on a directory in which nobody makes anything is given back after so long, together with others. */
const idleMs = 2_000

/** Holds on directories: when they are asked for and given back, and what is made under them meanwhile. */
export class HeldTree {
  readonly names: HeldNames
  readonly time = new ServerTime()
  readonly #parts: HeldTreeParts
  readonly #directories: HeldDirectories
  readonly #inodes: NumberPool
  readonly #numbers = new HostNumbers()

  constructor(parts: HeldTreeParts) {
    this.#parts = parts
    const { coherence } = parts
    this.#directories = new HeldDirectories(parts.nowMs)
    this.#inodes = new NumberPool((count) => this.#takeNumbers(count))
    this.names = new HeldNames({
      directories: this.#directories,
      steps: parts.steps,
      numbers: this.#inodes,
      time: this.time,
      term: () => (coherence.isLeased ? coherence.term : undefined),
      holdNumber: () => this.#numbers.next(),
      leasedEntry: (parent, name) => coherence.entry(parent, name),
    })
  }

  /** Resolves when what this makes may perhaps be held back: the directory is held, and is being asked about. */
  settling(call: FileCall): Promise<void> | undefined {
    if (!makesHere(call)) return undefined
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

  /** As WriteBehind.asking. `wishes`: a hold may be wished for. */
  asking(call: FileCall, { wishes }: { wishes: boolean }): Asking {
    const names = namesOf(call)
    for (const { dir, name } of names) this.#directories.began(dir, name)
    if (endsPlainness(call)) this.#leave(this.#directories.get(call.value.ino))
    const { coherence, nowMs } = this.#parts
    const { term } = coherence
    const askedMs = nowMs()
    const sent = wishes ? this.#wishing(call) : call
    const asked: Asking['asked'] = (result, errno) => {
      const isMade = result?.$case === 'entry' && makes(sent)
      for (const { dir } of names) this.#directories.ended(dir, { made: isMade })
      if (result !== undefined && (call.$case === 'rmdir' || call.$case === 'rename')) this.#directories.mayBeGone()
      if (isMade) this.#madeThrough(sent, result.value, term)
      if (call.$case !== 'lookup' || errno !== 'ENOENT') return
      this.#directories.isAbsent(call.value.parent, textOf(call.value.name), askedMs)
    }
    return { call: sent, asked }
  }

  /** Somebody wants it. @returns false: it is not known here, and not on its way */
  recall({ ino, number }: Hold): boolean {
    const directory = this.#directories.get(ino)
    if (directory?.number !== number) return this.#directories.isAsking(number)
    this.#leave(directory)
    return true
  }

  released(hold: Hold): void {
    this.#directories.released(hold)
  }

  /** The session has ended. */
  clear(): void {
    this.#directories.clear()
    this.#inodes.clear()
  }

  /** Directories in which nobody makes anything any more. */
  idle(max: number): HeldDirectory[] {
    const idle: HeldDirectory[] = []
    const before = this.#parts.nowMs() - idleMs
    for (const held of this.#directories.all()) {
      if (idle.length >= max) break
      const isUsed = held.usedMs > before || held.settling !== undefined || this.#directories.isChanging(held.ino)
      if (!held.leaving && !isUsed && !this.#parts.steps.isDirty(held.ino)) idle.push(held)
    }
    return idle
  }

  /** The hold on a directory is given back when all is done that was held back under it. */
  #leave(directory: HeldDirectory | undefined): void {
    if (directory === undefined || directory.leaving) return
    this.#directories.recalled(directory)
    void this.#parts.steps.sent().then(() => this.#parts.release([directory]))
  }

  /** A directory that is made is about to be filled, unless others work beside it. */
  #wishing(call: FileCall): FileCall {
    if (call.$case !== 'mkdir' || this.#directories.isFull || this.#directories.rests(call.value.parent)) return call
    return { $case: 'mkdir', value: { ...call.value, take: this.#numbers.next() } }
  }

  #madeThrough(call: Makes, entry: Entry, term: number): void {
    const { attributes, hold } = entry
    const { parent } = call.value
    if (attributes !== undefined) this.time.heard(attributes.ctimeNs)
    if (call.$case === 'mkdir' && attributes !== undefined && hold !== undefined) {
      // An earlier driver may have asked in the same words: that hold is given back as nobody's.
      if (hold === call.value.take) this.#directories.born(attributes.ino, hold, term)
      else this.#parts.release([{ ino: attributes.ino, number: hold }])
    }
    if (this.#parts.coherence.isLeased) void this.#takeDirectory(parent)
  }

  async #takeDirectory(ino: bigint): Promise<void> {
    const number = this.#numbers.next()
    if (!this.#directories.ask(ino, number)) return
    this.#inodes.fill()
    const { term } = this.#parts.coherence
    const sent = this.#directories.changesSent(ino)
    const wasQuiet = !this.#directories.isChanging(ino)
    const result = await this.#ask({ $case: 'takeHold', value: { ino, number } })
    const taken = result?.$case === 'heldDirectory' ? result.value : undefined
    const quiet = wasQuiet && this.#directories.changesSent(ino) === sent
    if (this.#directories.asked(ino, { number, term, taken, quiet })) this.#parts.release([{ ino, number }])
  }

  /** What the directory is like, when all is answered that was sent. */
  async #settle(held: HeldDirectory): Promise<void> {
    await this.#directories.quiet(held.ino)
    const sent = this.#directories.changesSent(held.ino)
    const result = await this.#ask({ $case: 'getattr', value: { ino: held.ino } })
    if (result?.$case !== 'attributes' || this.#directories.changesSent(held.ino) !== sent) return
    if (!this.#parts.steps.isDirty(held.ino)) held.attributes = result.value
  }

  async #takeNumbers(count: number): Promise<bigint | undefined> {
    const result = await this.#ask({ $case: 'takeNumbers', value: { count } })
    return result?.$case === 'numbers' && result.value.count === count ? result.value.first : undefined
  }

  /** For ourselves. @returns undefined: it was refused */
  async #ask(call: FileCall): Promise<FileResult | undefined> {
    const { client, coherence } = this.#parts
    const unique = ownCalls.ask(this.#numbers.next())
    try {
      return await new LeasedCall(client(), coherence).call(call, ourselves, { unique, step: 0 })
    } catch (error) {
      if (!(error instanceof FsError)) throw error
      return undefined
    } finally {
      client().answered?.(unique)
    }
  }
}
