import { setTimeout as delay } from 'node:timers/promises'
import type { Key, Seq } from '../../proto/ids.ts'
import { withRoom } from './file-io.ts'
import type { KeyState } from './key-state.ts'
import type { Parts } from './parts.ts'
import { Rounds } from './rounds.ts'

/** How far level is: written with each batch, so that it is true of the batch. */
export interface StoredPosition {
  /** Of the journal that `applied` counts in. */
  readonly generation: number
  readonly applied: Seq
  readonly resyncId: number
  readonly resyncSteps: number
}

/** A full disk is looked at again after so long. */
const fullMs = 100

const positionKey = '\0p' as Key
/** A journal is synced for each batch: on a slow disk that may take a fifth of its time, no more. */
const syncShare = 5

export function readPosition(keys: KeyState): StoredPosition {
  const value = keys.getStored(positionKey)
  if (value === undefined) return { generation: 0, applied: 0 as Seq, resyncId: 0, resyncSteps: 0 }
  return JSON.parse(Buffer.from(value).toString()) as StoredPosition
}

const encodePosition = (position: StoredPosition): Uint8Array => Buffer.from(JSON.stringify(position))

/**
 * Brings committed state from memory to level, a batch at a time. Before each batch the journal is synced up to where
 * the batch goes, with a note that says so: level is never ahead of the journal, even when the host goes down, and
 * staging is used again only for what the journal on the disk says is applied.
 */
export class StateWriter {
  readonly #parts: Parts
  readonly #fail: (error: unknown) => void
  readonly #rounds = new Rounds(() => this.#write())
  #timer: NodeJS.Timeout | undefined
  #delayMs: number
  #closed = false
  /** What level has for certain. */
  #stored: Seq
  #storedSteps = 0
  #closing = false

  constructor(parts: Parts, stored: Seq, fail: (error: unknown) => void) {
    this.#parts = parts
    this.#stored = stored
    this.#fail = fail
    this.#delayMs = parts.limits.writeDelayMs
  }

  get stored(): Seq {
    return this.#stored
  }

  /** There may be something to write: soon, or at once when much has gathered. */
  poke(): void {
    if (this.#closed || this.#timer !== undefined) return
    const much = this.#parts.keys.overlayBytes > this.#parts.limits.overlayBytesMax / 2
    this.#timer = setTimeout(() => this.#onTimer(), much ? 0 : this.#delayMs)
  }

  /** Everything committed before the call is in level afterwards. */
  drain(): Promise<void> {
    return this.#rounds.run()
  }

  /** The last round, whether there is room for it or not. */
  closing(): void {
    this.#closing = true
  }

  /** The journal begins anew after `base`. */
  restart(base: Seq): void {
    this.#stored = base
  }

  close(): void {
    this.#closed = true
    clearTimeout(this.#timer)
  }

  /** Lets go of payloads that nobody needs. */
  release(): void {
    const { staging, relied, blobsSynced, retainFrom } = this.#parts
    const through = Math.min(this.#stored, retainFrom - 1) as Seq
    // What a flush counted on must not be lost with the staging before its blob is on the disk.
    staging.release((blobsSynced >= Math.min(relied, through) ? through : blobsSynced) as Seq)
  }

  #onTimer(): void {
    this.#timer = undefined
    this.drain().catch(this.#fail)
  }

  async #write(): Promise<void> {
    await this.#room()
    if (this.#parts.torn) return
    const { keys, sums, journal, staging, makeRoom } = this.#parts
    const generation = journal.generation
    const to = this.#parts.committed
    for (const [key, value] of sums.takeChanges()) keys.set(key, value)
    const { resync } = this.#parts
    const reached = resync?.reached
    const resyncSteps = reached?.steps ?? 0
    if (keys.isEmpty && to === this.#stored && resyncSteps === this.#storedSteps) return
    keys.seal()
    const position = encodePosition({ generation, applied: to, resyncId: resync?.id ?? 0, resyncSteps })
    withRoom(makeRoom, () => journal.note(to))
    const startedAt = performance.now()
    await journal.sync()
    this.#delayMs = Math.max(this.#parts.limits.writeDelayMs, (performance.now() - startedAt) * syncShare)
    await this.#room() // others may have taken it meanwhile
    await keys.write([[positionKey, position]])
    if (reached !== undefined) resync?.stored(reached)
    sums.trim()
    if (journal.generation !== generation) return // begun anew meanwhile
    this.#stored = to
    this.#storedSteps = resyncSteps
    if ((staging.oldest ?? Number.POSITIVE_INFINITY) <= Math.min(to, this.#parts.relied)) await this.#syncBlobs()
    this.release()
  }

  /**
   * A write that level could not finish leaves half a record in its log, after which it may find nothing any more: so it
   * is not begun before there is room, for its tables too. What waits here is in the journal; meanwhile nothing new is taken.
   */
  async #room(): Promise<void> {
    const { gauge, keys, limits, makeRoom } = this.#parts
    const need = keys.overlayBytes + limits.reserveBytes / 2
    while (!gauge.hasFree(need) && !this.#closing) if (!makeRoom()) await delay(fullMs)
  }

  async #syncBlobs(): Promise<void> {
    const to = this.#parts.committed
    if (this.#parts.blobsSynced >= Math.min(this.#stored, this.#parts.relied)) return
    await this.#parts.blobs.sync()
    this.#parts.blobsSynced = Math.max(this.#parts.blobsSynced, to) as Seq
  }
}
