import assert from 'node:assert'
import type { Epoch, Key, Seq } from '../../proto/ids.ts'
import type { Entry, EpochStart, Mark } from '../../replication/entry.ts'
import type { ItemDigest, Log, Opened, Space, Storage } from '../../replication/ports.ts'
import type { ResyncMark, Slice, Touched, Wanted, WorkItem } from '../../replication/work.ts'
import type { View } from '../filesystem/view.ts'
import { applyEffects } from './apply.ts'
import { decodeBody, encodeBody, headLength } from './body.ts'
import { type BodyCheck, checkBody } from './body-check.ts'
import { Durability } from './durability.ts'
import type { Effect } from './effect.ts'
import { isFull } from './file-io.ts'
import { digestItem } from './item-digest.ts'
import { nowhere } from './journal-record.ts'
import type { IsSound, ReadSlice } from './key-slices.ts'
import { type OpenedStore, openStore, resyncPath } from './opening.ts'
import { Ordered } from './ordered.ts'
import { type Parts, type StoreLimits, standardLimits } from './parts.ts'
import type { PendingEntry } from './pending.ts'
import { wholeBody } from './redo.ts'
import { ResyncLog } from './resync-log.ts'
import { Retention } from './retention.ts'
import { intact } from './seal.ts'
import { applySliceTo, describeItem, readSliceOf } from './slices.ts'
import { StateWriter } from './state-writer.ts'

export interface StoreOptions {
  /** Contents of /proc/sys/kernel/random/boot_id: another one than last time means that the host went down (R12). */
  readonly bootId: string
  readonly log: Log
  /** Told once when the store can't go on (I/O error): the process should end. Without it the error is thrown. */
  readonly onFailure?: (error: Error) => void
  /** Does a value match its own checksum? Standard: `intact` of seal.ts. */
  readonly valueIsSound?: IsSound
  readonly limits?: Partial<StoreLimits>
}

/** What waits in memory for level, and in staging for everybody. Whoever makes entries slows down when `over`. */
export interface Backlog {
  readonly overlayBytes: number
  readonly stagingBytes: number
  readonly over: boolean
}

/** One member's journal and state in a folder of its own. docs/store-format.md says what is in it. */
export class VolumeStore implements Storage {
  readonly opened: Opened
  /** Committed state. */
  readonly committed: View
  /** Committed state and, over it, what is appended but not committed. */
  readonly pending: View
  readonly #parts: Parts
  readonly #writer: StateWriter
  readonly #durability: Durability
  readonly #retention: Retention
  readonly #onFailure: ((error: Error) => void) | undefined
  readonly #describes = this.#ordered()
  readonly #reads = this.#ordered()
  readonly #digests = this.#ordered()
  readonly #touches = this.#ordered()
  #checkpointTimer: NodeJS.Timeout | undefined
  #background: Promise<void> = Promise.resolve()
  #failure: Error | undefined
  #closed = false
  /** The last body that was checked: it is appended next, nearly always. */
  #checked: { readonly body: Uint8Array; readonly found: BodyCheck } | undefined

  private constructor({ parts, opened, stored }: OpenedStore, onFailure: ((error: Error) => void) | undefined) {
    this.#parts = parts
    this.opened = opened
    this.committed = parts.keys
    this.pending = parts.pending
    this.#onFailure = onFailure
    this.#writer = new StateWriter(parts, stored, (error) => this.#fail(error))
    this.#durability = new Durability(parts, this.#writer, (error) => this.#fail(error))
    this.#retention = new Retention(parts, this.#writer)
    if (parts.committed > stored) this.#writer.poke()
    this.#scheduleCheckpoint()
  }

  /**
   * Opens the store in `dir`, or makes one there.
   *
   * @throws when another process has it open, its format is newer than ours, or it is damaged
   */
  static async open(dir: string, options: StoreOptions): Promise<VolumeStore> {
    const opened = await openStore(dir, {
      bootId: options.bootId,
      log: options.log,
      isSound: options.valueIsSound ?? ((_key, value) => intact(value)),
      limits: { ...standardLimits, ...options.limits },
    })
    return new VolumeStore(opened, options.onFailure)
  }

  trustJournal(): void {
    this.#checkUsable()
    this.#parts.torn = false
    this.#parts.meta.update({ amnesia: false })
  }

  append(entry: Entry): 'appended' | 'full' {
    this.#checkUsable()
    const { staging, journal, pending, gauge } = this.#parts
    const effects = decodeBody(entry.body)
    assert(effects !== undefined, `entry ${entry.seq} has a body that can't be read`)
    const blobBytes = effects.reduce((sum, effect) => sum + (effect.kind === 'blob.write' ? effect.data.length : 0), 0)
    const need = entry.body.length + blobBytes + pending.blobBytes
    if (entry.body.length > 0 && !gauge.fits(need, { contents: blobBytes > 0 })) return 'full'
    const headBytes = headLength(entry.body)
    const place = headBytes < entry.body.length ? staging.put(entry.seq, entry.body.subarray(headBytes)) : nowhere
    if (place === 'full') return 'full'
    const { check, parts } = this.#checkOf(entry.body)
    this.#checked = undefined
    if (journal.append(entry, check, place, entry.body.subarray(0, headBytes)) === 'full') {
      staging.cut(journal.last.seq)
      return 'full'
    }
    gauge.wrote(entry.body.length)
    pending.add({ seq: entry.seq, body: entry.body, effects, parts, touches: effects, blobBytes })
    return 'appended'
  }

  /** What an entry changes that is in the journal and not committed. */
  touchesOf(seq: Seq): PendingEntry['touches'] {
    return this.#parts.pending.touchesOf(seq)
  }

  /** Keys of which the pending view differs from the committed one. */
  pendingKeys(): Iterable<Key> {
    return this.#parts.pending.keys()
  }

  cut(last: Seq): void {
    this.#checkUsable()
    const { pending, staging, journal, committed } = this.#parts
    assert(last >= committed, `a cut to ${last}, and ${committed} is committed`)
    pending.cut(last)
    staging.cut(last)
    journal.cut(last)
  }

  read(from: Seq, bytesMax: number): readonly Entry[] | undefined {
    const { journal, pending, staging } = this.#parts
    if (from > journal.last.seq) return []
    if (from <= journal.base.seq) return undefined
    const entries: Entry[] = []
    let bytes = 0
    journal.entries(
      from,
      (record) => {
        const body = pending.bodyOf(record.mark.seq) ?? wholeBody(record, staging)
        if (body === undefined) return false
        bytes += body.length + 64
        if (entries.length > 0 && bytes > bytesMax) return false
        entries.push({ ...record.mark, body })
        return bytes < bytesMax
      },
      Math.min(Math.max(bytesMax, 1 << 16), 1 << 20),
    )
    return entries.length > 0 ? entries : undefined
  }

  markAt(at: Seq): Mark | undefined {
    return this.#parts.journal.markAt(at)
  }

  retain(from: Seq): void {
    this.#parts.retainFrom = from
    this.#writer.release()
  }

  check(body: Uint8Array): number {
    return this.#checkOf(body).check
  }

  commit(to: Seq): void {
    this.#checkUsable()
    const { pending, journal } = this.#parts
    assert(to <= journal.last.seq, `a commit of ${to}, and the journal ends at ${journal.last.seq}`)
    if (to <= this.#parts.committed) return
    for (let entry = pending.next(to); entry !== undefined; entry = pending.next(to)) {
      const sound = entry.seq > this.#parts.soundAfter
      applyEffects(this.#parts, this.#effectsOf(entry), { sound, parts: entry.parts })
      pending.committed(entry)
      this.#parts.gauge.wrote(entry.blobBytes)
      this.#parts.committed = entry.seq
    }
    this.#writer.poke()
  }

  storeEpoch(epoch: Epoch): void {
    this.#checkUsable()
    this.#parts.meta.update({ epoch })
  }

  flush(done: (outcome: 'flushed' | 'failed', upTo: Seq) => void): void {
    this.#checkUsable()
    this.#durability.flush(done)
  }

  touchedSince(after: Seq, done: (touched: Touched) => void): void {
    this.#touches.run(() => this.#retention.touchedSince(after, done))
  }

  touchedInTail(after: Seq): Touched {
    return this.#retention.touchedInTail(after)
  }

  beginResync(base: Mark, history: readonly EpochStart[], work: readonly WorkItem[]): void {
    this.#checkUsable()
    const { meta, journal, pending, staging, keys, sums, folds } = this.#parts
    if (this.#parts.resync === undefined) {
      meta.update({ resyncSteps: 0 })
      meta.syncNow()
      this.#parts.resync = ResyncLog.create(resyncPath(this.#parts.dir), work)
    } else this.#parts.resync.add(work)
    this.#parts.torn = false
    pending.clear()
    staging.release(Number.POSITIVE_INFINITY as Seq)
    for (const [key, value] of sums.takeChanges()) keys.set(key, value)
    const carry = [...keys.unwritten()].map(([key, value]): Effect => {
      return value === undefined ? { kind: 'delete', key } : { kind: 'put', key, value }
    })
    journal.reset(base, history, encodeBody(carry))
    folds.clear()
    meta.update({ durable: Math.min(meta.meta.durable, base.seq) as Seq })
    this.#parts.committed = base.seq
    this.#parts.soundAfter = base.seq
    this.#writer.restart(base.seq)
    this.#writer.poke()
  }

  /** What remains is not a copy: it changes with the next step. */
  resync(): ResyncMark | undefined {
    return this.#parts.resync?.mark
  }

  describe(item: WorkItem, done: (wanted: Wanted, rest: WorkItem | undefined) => void): void {
    this.#describes.run(async () => {
      const { wanted, rest } = await describeItem(this.#parts, item)
      done(wanted, rest)
    })
  }

  readSlice(wanted: Wanted, done: (slice: ReadSlice) => void): void {
    this.#reads.run(() => readSliceOf(this.#parts, wanted, this.#parts.isSound, done))
  }

  applySlice(slice: Slice, rest: readonly WorkItem[]): 'applied' | 'full' {
    this.#checkUsable()
    const { resync, gauge } = this.#parts
    assert(resync !== undefined, 'a slice, and no resync is under way')
    if (slice.movedBytes > 0 && !gauge.fits(slice.movedBytes, { contents: true })) return 'full'
    try {
      const more = applySliceTo(this.#parts, slice)
      resync.step([...more, ...withoutVain(slice, this.#parts.blobs.size.bind(this.#parts.blobs), rest)])
    } catch (error) {
      if (isFull(error)) return 'full' // the item remains: what of it is here already does no harm
      throw error
    }
    gauge.wrote(slice.movedBytes)
    this.#writer.poke()
    return 'applied'
  }

  endResync(): void {
    this.#checkUsable()
    const { resync, meta } = this.#parts
    if (resync === undefined) return
    assert(meta.meta.resyncSteps === resync.reached.steps, 'the end of a resync that is not wholly on the disk')
    resync.remove()
    this.#parts.resync = undefined
    meta.update({ amnesia: false, resyncSteps: 0 })
    this.#writer.poke()
  }

  digest(item: WorkItem, { detail }: { readonly detail: boolean }, done: (digest: ItemDigest) => void): void {
    const digest = digestItem(this.#parts, item, this.#parts.isSound, detail) // begins now, and is of now
    digest.catch(() => undefined) // who waits for it below sees the failure
    this.#digests.run(async () => done(await digest))
  }

  space(): Space {
    return this.#parts.gauge.space
  }

  /** The newest entry that is appended, not committed, and touches the key. */
  dirty(key: Key): Seq | undefined {
    return this.#parts.pending.dirty(key)
  }

  /** Committed bytes of a blob; short at its end, empty when there is no such blob. */
  readBlob(blob: bigint, offset: number, length: number): Promise<Uint8Array> {
    return this.#parts.blobs.read(blob, offset, length)
  }

  /** Up to `count` committed keys >= `from` that begin with `prefix`, in order, with their values, all at one position. */
  async scan(prefix: Key, from: Key, count: number): Promise<(readonly [Key, Uint8Array])[]> {
    const reader = this.#parts.keys.range({ from: from > prefix ? from : prefix, to: afterPrefix(prefix) })
    try {
      return await reader.read(count)
    } finally {
      await reader.close()
    }
  }

  backlog(): Backlog {
    const { keys, staging, limits } = this.#parts
    const over = keys.overlayBytes > limits.overlayBytesMax || staging.bytes > limits.stagingBytesMax
    return { overlayBytes: keys.overlayBytes, stagingBytes: staging.bytes, over }
  }

  /** Everything to the disk, and a mark of a clean stop, unless the store has failed. */
  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    clearTimeout(this.#checkpointTimer)
    this.#writer.closing()
    await Promise.all([this.#describes, this.#reads, this.#digests, this.#touches].map((ordered) => ordered.idle()))
    await Promise.all([this.#background, this.#durability.idle()])
    const { journal, staging, blobs, keys, meta, resync } = this.#parts
    if (this.#failure === undefined && !this.#durability.failed) {
      await this.#durability.checkpoint()
      await Promise.all([journal.sync(), staging.sync()])
      meta.update({ clean: true })
      await meta.sync()
    }
    this.#writer.close()
    await keys.close()
    journal.close()
    staging.close()
    blobs.close()
    resync?.close()
    meta.close()
  }

  #checkOf(body: Uint8Array): BodyCheck {
    if (this.#checked?.body !== body) this.#checked = { body, found: checkBody(body) }
    return this.#checked.found
  }

  #effectsOf(entry: PendingEntry): readonly Effect[] {
    if (entry.effects !== undefined) return entry.effects
    const record = this.#parts.journal.entry(entry.seq)
    const body = record === undefined ? undefined : wholeBody(record, this.#parts.staging)
    const effects = body === undefined ? undefined : decodeBody(body)
    assert(effects !== undefined, `entry ${entry.seq} can't be applied: its payload is not there whole`)
    return effects
  }

  #scheduleCheckpoint(): void {
    this.#checkpointTimer = setTimeout(() => {
      this.#background = this.#checkpoint()
    }, this.#parts.limits.checkpointMs).unref()
  }

  async #checkpoint(): Promise<void> {
    try {
      if (this.#durability.isBehind && !this.#durability.failed) await this.#durability.checkpoint()
      await this.#retention.bound()
      this.#parts.gauge.loadBallast()
    } catch (error) {
      this.#fail(error)
    }
    if (!this.#closed) this.#scheduleCheckpoint()
  }

  #ordered(): Ordered {
    return new Ordered((error) => this.#fail(error))
  }

  #checkUsable(): void {
    if (this.#failure !== undefined) throw this.#failure
    assert(!this.#closed, 'the store is closed')
  }

  #fail(cause: unknown): void {
    if (this.#failure !== undefined) return
    const why = cause instanceof Error ? cause.message : String(cause)
    this.#failure = new Error(`the store in ${this.#parts.dir} has failed: ${why}`, { cause })
    this.#parts.log('store.failed', { dir: this.#parts.dir, error: String(cause) })
    const failure = this.#failure
    if (this.#onFailure !== undefined) this.#onFailure(failure)
    else {
      setImmediate(() => {
        throw failure
      })
    }
  }
}

/** The smallest key that is greater than all with the prefix; undefined: there is none. */
function afterPrefix(prefix: Key): Key | undefined {
  for (let at = prefix.length - 1; at >= 0; at--) {
    const code = prefix.charCodeAt(at)
    if (code < 255) return (prefix.slice(0, at) + String.fromCharCode(code + 1)) as Key
  }
  return undefined
}

/** What is beyond the end of the slice's blob, whose size is right now, need not be fetched. */
function withoutVain(slice: Slice, sizeOf: (blob: bigint) => number, rest: readonly WorkItem[]): readonly WorkItem[] {
  const { item } = slice
  if (item.kind !== 'range') return rest
  const size = sizeOf(item.blob)
  return rest.filter((left) => left.kind !== 'range' || left.blob !== item.blob || left.offset < size)
}
