import { holdsMax } from '../../proto/holds.ts'
import { Restless } from '../cache/restless.ts'
import type { FileCall, FileResult } from '../router/file-client.ts'
import { HostNumbers } from './host-numbers.ts'

/** One hold of this driver's session. */
export interface Held {
  readonly ino: bigint
  readonly number: bigint
  /** Of leases (see Coherence) when it was asked for. In a later one it may have been taken away meanwhile. */
  readonly term: number
  /** How long the file is, with what is held back; undefined: the next write says it. */
  size: bigint | undefined
  /** Where the last write ended that was held back under it. */
  lastEnd: bigint | undefined
  /** Somebody wants it, or nobody needs it: nothing more is held back under it. */
  leaving: boolean
  /** Since then nothing was written. */
  usedMs: number
}

/** Of what was asked for by an earlier driver. */
const noTerm = 0
/** After somebody else wanted it, a hold is not asked for again for so long. */
const restMs = 2_000

/** Changes of one file that were sent and are not answered; `overlapped`: at one moment there was more than one. */
interface Changing {
  count: number
  overlapped: boolean
}

/** Which holds this driver has, and asks for. Numbers are of the host's monotonic clock: no driver of a mount uses one twice. */
export class Holds {
  readonly #nowMs: () => number
  readonly #held = new Map<bigint, Held>()
  /** Numbers that were asked for, and not answered. */
  readonly #asking = new Map<bigint, { readonly term: number }>()
  readonly #askingFor = new Set<bigint>()
  readonly #changing = new Map<bigint, Changing>()
  readonly #recalled = new Restless(restMs)
  readonly #numbers = new HostNumbers()

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs
  }

  all(): Iterable<Held> {
    return this.#held.values()
  }

  get(ino: bigint): Held | undefined {
    return this.#held.get(ino)
  }

  /** It may be the number of a hold that the session is about to have. */
  isAsking(number: bigint): boolean {
    return this.#asking.has(number)
  }

  /** A hold under which may be held back what is written now. */
  usable(ino: bigint, term: number): (Held & { size: bigint }) | undefined {
    const held = this.#held.get(ino)
    if (held?.size === undefined || held.term !== term || held.leaving || this.#changing.has(ino)) return undefined
    return held as Held & { size: bigint }
  }

  isChanging(ino: bigint): boolean {
    return this.#changing.has(ino)
  }

  /** What an earlier driver has held back was held back under it. */
  inherit(ino: bigint, number: bigint): void {
    this.#put({ ino, number, size: undefined }, noTerm)
  }

  /** Under which it may be moved or taken away now. */
  standing(ino: bigint, term: number): bigint | undefined {
    const held = this.#held.get(ino)
    return held?.term === term && !held.leaving ? held.number : undefined
  }

  /** The session has it, without a write. @returns false: it is not to be used */
  given({ ino, number }: Pick<Held, 'ino' | 'number'>, term: number): boolean {
    const held = this.#held.get(ino)
    if (held !== undefined) return held.number === number && held.term === term && !held.leaving
    this.#put({ ino, number, size: undefined }, term)
    return true
  }

  /** If nothing was written under it, nothing will be. */
  leaveUnwritten({ ino, number }: Pick<Held, 'ino' | 'number'>): boolean {
    const held = this.#held.get(ino)
    if (held?.number !== number || held.size !== undefined || held.leaving) return false
    held.leaving = true
    return true
  }

  /** The file is about to be gone, and the hold with it. */
  drop(ino: bigint): void {
    this.#held.delete(ino)
  }

  /** The servers have been told, or have ended the session. */
  released({ ino, number }: Pick<Held, 'ino' | 'number'>): void {
    if (this.#held.get(ino)?.number === number) this.#held.delete(ino)
  }

  /** Something was held back under it, which ends at `end`. */
  wrote(held: Held, end: bigint): void {
    held.usedMs = this.#nowMs()
    held.lastEnd = end
    if (held.size !== undefined && end > held.size) held.size = end
  }

  /** The session has ended. */
  clear(): void {
    this.#held.clear()
  }

  recalled(held: Held): void {
    held.leaving = true
    this.#recalled.stir(held.ino, this.#nowMs())
  }

  /** A change is about to be sent: the same, with the wish for a hold where one would be of use. */
  asking(call: FileCall, term: number): FileCall {
    if (this.#held.size >= holdsMax) return call
    if (call.$case === 'create') {
      if ((call.value.flags & accessMode) === 0 || (call.value.flags & openDsync) !== 0) return call
      const take = this.#number(term)
      return { $case: 'create', value: { ...call.value, take } }
    }
    if (call.$case !== 'write') return call
    const { ino } = call.value
    if (
      this.#held.get(ino)?.term === term ||
      this.#isLeaving(ino) ||
      this.#askingFor.has(ino) ||
      this.#recalled.has(ino, this.#nowMs())
    )
      return call
    this.#askingFor.add(ino)
    return { $case: 'write', value: { ...call.value, take: this.#number(term) } }
  }

  /** A number for a hold on a new file that is about to be made by a batch; undefined: there are enough. */
  wish(term: number): bigint | undefined {
    return this.#held.size + this.#asking.size < holdsMax / 2 ? this.#number(term) : undefined
  }

  /** What became of such a wish. `size`: see Held. */
  wished(ino: bigint, number: bigint, how: { given: boolean; size: bigint | undefined }): void {
    const asked = this.#asking.get(number)
    this.#asking.delete(number)
    if (asked !== undefined && how.given) this.#put({ ino, number, size: how.size }, asked.term)
  }

  began(call: FileCall): void {
    const ino = resizedBy(call)
    if (ino === undefined) return
    const changing = this.#changing.get(ino)
    if (changing === undefined) this.#changing.set(ino, { count: 1, overlapped: false })
    else {
      changing.count++
      changing.overlapped = true
    }
  }

  /**
   * `result` undefined: it failed, or nobody knows. `isDirty`: something of the file is held back.
   *
   * @returns a hold that was given to a driver before this one, which asked in the same words: it may be gone by now
   */
  ended(
    call: FileCall,
    result: FileResult | undefined,
    isDirty: (ino: bigint) => boolean,
  ): Pick<Held, 'ino' | 'number'> | undefined {
    const take = call.$case === 'write' || call.$case === 'create' ? call.value.take : undefined
    const asked = take === undefined ? undefined : this.#asking.get(take)
    if (take !== undefined) this.#asking.delete(take)
    if (take !== undefined && call.$case === 'write') this.#askingFor.delete(call.value.ino)
    const alone = this.#end(call)
    const given = givenBy(call, result)
    if (given !== undefined && asked !== undefined && given.number === take) this.#put(given, asked.term)
    const ino = resizedBy(call)
    const held = ino === undefined ? undefined : this.#held.get(ino)
    // What was held back before this was sent, and after it was wanted, is not in the answer.
    if (held !== undefined) held.size = alone && !isDirty(held.ino) ? sizeAfter(call, result) : undefined
    return given === undefined || given.number === take ? undefined : given
  }

  #end(call: FileCall): boolean {
    const ino = resizedBy(call)
    const changing = ino === undefined ? undefined : this.#changing.get(ino)
    if (ino === undefined || changing === undefined) return false
    changing.count--
    if (changing.count > 0) return false
    this.#changing.delete(ino)
    return !changing.overlapped
  }

  #isLeaving(ino: bigint): boolean {
    return this.#held.get(ino)?.leaving === true
  }

  #put(given: Pick<Held, 'ino' | 'number' | 'size'>, term: number): void {
    this.#held.set(given.ino, { ...given, lastEnd: undefined, term, leaving: false, usedMs: this.#nowMs() })
  }

  #number(term: number): bigint {
    const number = this.#numbers.next()
    this.#asking.set(number, { term })
    return number
  }
}

const accessMode = 3 // O_ACCMODE of Linux
const openDsync = 0o10000 // O_DSYNC; O_SYNC has this bit, too
const openTruncates = 0o1000 // O_TRUNC of Linux

/** The file that may be longer or shorter after a change of our own. */
function resizedBy(call: FileCall): bigint | undefined {
  const { $case } = call
  if ($case === 'write' || $case === 'setattr' || $case === 'fallocate' || $case === 'copyRange') return call.value.ino
  return $case === 'open' && (call.value.flags & openTruncates) !== 0 ? call.value.ino : undefined
}

function givenBy(call: FileCall, result: FileResult | undefined): Pick<Held, 'ino' | 'number' | 'size'> | undefined {
  if (
    call.$case === 'create' &&
    result?.$case === 'entry' &&
    result.value.hold !== undefined &&
    result.value.attributes
  ) {
    const { ino, size } = result.value.attributes
    return { ino, number: result.value.hold, size }
  }
  if (call.$case !== 'write' || result?.$case !== 'written' || result.value.hold === undefined) return undefined
  return { ino: call.value.ino, number: result.value.hold, size: undefined }
}

function sizeAfter(call: FileCall, result: FileResult | undefined): bigint | undefined {
  if (call.$case === 'write' && result?.$case === 'written') return result.value.size
  return result?.$case === 'attributes' ? result.value.size : undefined
}
