import { type Errno, FsError, nameOfErrno } from '../../proto/errno.ts'
import type { Operation } from '../../proto/generated/file-service.ts'
import type { Coherence } from '../cache/coherence.ts'
import type { Changing } from '../cache/lease-cache.ts'
import { count } from '../count.ts'
import type { Log } from '../log.ts'
import { nameKey } from '../names.ts'
import type { FileCall, FileClient } from '../router/file-client.ts'
import { HostNumbers } from './host-numbers.ts'
import { isOutOfMemory } from './out-of-memory.ts'
import { ourselves, ownCalls } from './own-calls.ts'
import type { HeldStep, StepFiles } from './step-files.ts'
import { makesHere, parentsOf } from './subjects.ts'

export interface StepParts {
  readonly client: () => FileClient
  readonly coherence: Coherence
  readonly files: StepFiles
  readonly nowMs: () => number
  /** A hold that is wanted on a file which is made here, as it is sent; undefined: none is. */
  readonly wanted: (ino: bigint) => bigint | undefined
  /** It has been done (errno undefined), or can't be any more. */
  readonly onDone: (step: HeldStep, errno: Errno | undefined, took: bigint | undefined) => void
  readonly log: Log
}

/** Nothing is held back for longer, but by what can't be sent. */
const ageMs = 50
const batchStepsMax = 128
const batchBytesMax = 512 << 10
/** What waits to be sent: whoever comes then goes through, and waits for all of it. */
const stepsMax = 2048
const bytesMax = 4 << 20
/** About what one step weighs besides its data. */
const stepBytes = 256
type Begun = ReturnType<Coherence['begin']>

interface HeldBatch {
  readonly number: bigint
  readonly steps: HeldStep[]
  /** Under way since they were held back: nothing about these inodes is kept by anybody here. */
  readonly changes: Changing[]
  readonly invalidated: Set<bigint>
  readonly beganMs: number
  bytes: number
  state: 'open' | 'closed' | 'sending'
}

/**
 * Steps that were answered and not sent, in the order in which they came: they are sent in batches, one after another, so
 * that what comes while one is under way becomes the next.
 */
export class Steps {
  readonly #parts: StepParts
  readonly #batches: HeldBatch[] = []
  /** By inode: how many steps are about it that are not done. invariant: never 0 */
  readonly #dirty = new Map<bigint, number>()
  /** Names that are made or taken away: by how many steps that are not done. invariant: never 0 */
  readonly #names = new Map<string, number>()
  /** Inodes whose mode, owner or times are changed: by how many steps that are not done. invariant: never 0 */
  readonly #setting = new Map<bigint, number>()
  /** Inodes that are made. */
  readonly #making = new Set<bigint>()
  readonly #waiting: { readonly last: bigint; readonly resolve: () => void }[] = []
  readonly #numbers: HostNumbers
  #count = 0
  #bytes = 0

  constructor(parts: StepParts) {
    this.#parts = parts
    this.#numbers = new HostNumbers(parts.files.left.at(-1)?.number)
    for (const { number, steps } of parts.files.left) {
      const batch = this.#begin(number)
      for (const step of steps) this.#put(batch, step, parts.coherence.begin(callOf(step), childrenOf(step)))
      batch.state = 'closed'
    }
  }

  get isEmpty(): boolean {
    return this.#batches.length === 0
  }

  get hasRoom(): boolean {
    return this.#count < stepsMax && this.#bytes < bytesMax
  }

  isDirty(ino: bigint): boolean {
    return this.#dirty.has(ino)
  }

  /** Is the name yet to be made or taken away, or the directory to be made? */
  isNaming(parent: bigint, name: Uint8Array): boolean {
    return this.#names.has(nameKey(parent, name)) || this.#making.has(parent)
  }

  /** Who may search the directory may yet be changed: servers judge by what it was before. */
  isJudging(parent: bigint): boolean {
    return this.#setting.has(parent)
  }

  /** The last that was held back by now. */
  get mark(): bigint {
    return this.#batches.at(-1)?.number ?? 0n
  }

  /** Something about the inode was held back by that mark that is not known to have been done. */
  isOwed(ino: bigint, mark: bigint): boolean {
    return (
      this.#dirty.has(ino) &&
      this.#batches.some(({ number, steps }) => number <= mark && steps.some((held) => inosOfStep(held).has(ino)))
    )
  }

  /**
   * `unseen`: the kernel may have what it changes, and must not.
   *
   * @returns false: there is no memory for it, or the kernel has it
   */
  add(held: HeldStep, { unseen = false } = {}): boolean {
    const begun = this.#parts.coherence.begin(callOf(held), childrenOf(held))
    if ((!unseen || begun.invalidated.includes(held.ino)) && this.#append(held, begun)) return true
    if (begun.change !== undefined) this.#parts.coherence.abandon(begun.change)
    return false
  }

  #append(held: HeldStep, begun: Begun): boolean {
    let batch = this.#batches.at(-1)
    if (batch?.state !== 'open') batch = this.#begin(this.#numbers.next())
    try {
      this.#parts.files.append(batch.number, held)
    } catch (error) {
      if (!isOutOfMemory(error)) throw error
      batch.state = 'closed' // its file may end with half a step
      if (batch.steps.length === 0) this.#over(batch)
      return false
    }
    this.#put(batch, held, begun)
    if (batch.steps.length >= batchStepsMax || batch.bytes >= batchBytesMax) this.#close(batch)
    return true
  }

  /** Resolves when all that is held back by now has been done, or has failed. */
  sent(): Promise<void> {
    const last = this.#batches.at(-1)
    if (last === undefined) return Promise.resolve()
    this.#close(last)
    return new Promise((resolve) => this.#waiting.push({ last: last.number, resolve }))
  }

  /** Sends what is old enough. */
  onTick(): void {
    const last = this.#batches.at(-1)
    if (last !== undefined && last.beganMs <= this.#parts.nowMs() - ageMs) this.#close(last)
  }

  #begin(number: bigint): HeldBatch {
    const batch: HeldBatch = {
      number,
      steps: [],
      changes: [],
      invalidated: new Set(),
      beganMs: this.#parts.nowMs(),
      bytes: 0,
      state: 'open',
    }
    this.#batches.push(batch)
    return batch
  }

  #put(batch: HeldBatch, held: HeldStep, { change, invalidated }: Begun): void {
    const call = callOf(held)
    if (change !== undefined) batch.changes.push(change)
    for (const ino of invalidated) batch.invalidated.add(ino)
    const bytes = stepBytes + (call.$case === 'write' ? call.value.data.length : 0)
    batch.steps.push(held)
    batch.bytes += bytes
    this.#count++
    this.#bytes += bytes
    this.#tally(held, 1)
    if (makesHere(call)) this.#making.add(held.ino)
  }

  /** Of what the step is, one more or one less is not done. */
  #tally(held: HeldStep, by: 1 | -1): void {
    const call = callOf(held)
    for (const ino of inosOfStep(held)) count(this.#dirty, ino, by)
    for (const name of namesOf(call)) count(this.#names, name, by)
    if (call.$case === 'setattr') count(this.#setting, held.ino, by)
  }

  #close(batch: HeldBatch): void {
    if (batch.state === 'open') batch.state = 'closed'
    this.#pump()
  }

  #pump(): void {
    const [first] = this.#batches
    if (first?.state !== 'closed') return
    first.state = 'sending'
    void this.#send(first)
  }

  async #send(batch: HeldBatch): Promise<void> {
    const { client, log } = this.#parts
    const unique = ownCalls.batch(batch.number)
    const took = new Map<bigint, bigint>()
    const steps = batch.steps.map((held) => this.#withWish(held, took))
    const errnos = new Map<number, Errno>()
    try {
      const result = await client().call({ $case: 'batch', value: { steps } }, ourselves, {
        unique,
        step: 0,
        patient: true,
        urgent: true,
        invalidated: [...batch.invalidated],
      })
      if (result.$case !== 'batched') throw new Error(`a batch was answered with ${result.$case}`)
      for (const { index, errno } of result.value.failed) errnos.set(index, nameOfErrno(errno))
    } catch (error) {
      if (!(error instanceof FsError)) throw error
      for (const index of steps.keys()) errnos.set(index, error.errno)
    }
    this.#over(batch)
    for (const [index, held] of batch.steps.entries()) {
      const errno = errnos.get(index)
      if (errno !== undefined) log.error('step.lost', { step: callOf(held).$case, ino: String(held.ino), errno })
      this.#parts.onDone(held, errno, took.get(held.ino))
    }
    client().answered?.(unique)
  }

  /** Of a file that is still being written to as its making is sent, the session wants the hold. */
  #withWish({ ino, step }: HeldStep, took: Map<bigint, bigint>): HeldStep['step'] {
    const call = step.call?.kind
    const take = call?.$case === 'create' ? this.#parts.wanted(ino) : undefined
    if (call?.$case !== 'create' || take === undefined) return step
    took.set(ino, take)
    return { ...step, call: { kind: { $case: 'create', value: { ...call.value, take } } } }
  }

  #over(batch: HeldBatch): void {
    this.#batches.splice(this.#batches.indexOf(batch), 1)
    for (const change of batch.changes) this.#parts.coherence.abandon(change)
    for (const held of batch.steps) {
      this.#tally(held, -1)
      this.#making.delete(held.ino)
    }
    this.#count -= batch.steps.length
    this.#bytes -= batch.bytes
    this.#parts.files.remove(batch.number)
    for (const waiting of [...this.#waiting]) {
      if (this.#batches.some(({ number }) => number <= waiting.last)) continue
      this.#waiting.splice(this.#waiting.indexOf(waiting), 1)
      waiting.resolve()
    }
    this.#pump()
  }
}

/** @throws Error: it is no step of ours */
export function callOf({ step }: HeldStep): FileCall {
  const call: Operation['kind'] = step.call?.kind
  if (call === undefined) throw new Error('a step without a call was held back')
  return call
}

/** What it is about besides directories. */
const childrenOf = ({ ino, victim }: HeldStep): readonly bigint[] => (victim === undefined ? [ino] : [ino, victim])

/** Directories and children, or the inode that is changed. */
export function inosOfStep(held: HeldStep): ReadonlySet<bigint> {
  return new Set([...parentsOf(callOf(held)), ...childrenOf(held)])
}

function namesOf({ value }: FileCall): readonly string[] {
  if (!('name' in value && 'parent' in value)) return []
  const name = nameKey(value.parent, value.name)
  return 'newName' in value ? [name, nameKey(value.newParent, value.newName)] : [name]
}
