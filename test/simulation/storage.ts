import type { Epoch, Key, Seq } from '../../proto/ids.ts'
import type { Entry, EpochStart, Mark } from '../../replication/entry.ts'
import type { ItemDigest, Opened, Space, Storage } from '../../replication/ports.ts'
import type { ResyncMark, Slice, Touched, Wanted, WorkItem } from '../../replication/work.ts'
import { checkBody, decodeBody } from './body.ts'
import type { Disk } from './disk.ts'
import { Image } from './image.ts'
import { blobsIn, describe, digestOf, sliceOf } from './items.ts'
import { blockSize, State, touchOf } from './state.ts'
import { Violation } from './violation.ts'

/** How a member's store behaves in one run. */
export interface StorageProfile {
  /** Entries kept in the journal beyond what must be; what is trimmed is folded into so many names at most. */
  readonly keepEntries: number
  readonly foldMax: number
  /** Payloads kept readable, beyond what `retain` asks for. */
  readonly keepPayloads: number
  readonly flushMs: number
  readonly readMs: number
  /** To find out what was changed since; standard: as a read. */
  readonly collectMs?: number
}

/** What the process around a storage gives it. */
export interface StorageHooks {
  /** A place where the process may be made to die. */
  point(name: string): void
  /** Runs `then` in the process later, if it lives. */
  later(delayMs: number, then: () => void): void
  /** In [0, 1). */
  random(): number
  appended(entry: Entry): void
  applied(entry: Entry): void
}

const spaceBytes = 1 << 30

/** The `Storage` of one process, on the disk of its host. */
export class SimStorage implements Storage {
  readonly opened: Opened
  readonly #disk: Disk
  readonly #profile: StorageProfile
  readonly #hooks: StorageHooks
  /** Callbacks come in the order of the calls, so they wait for each other. */
  readonly #waiting: { readonly done: () => void; ready: boolean }[] = []
  /** Newest entry, appended and not committed, that touches a key or a blob. */
  #dirtyKeys = new Map<Key, Seq>()
  #dirtyBlobs = new Map<bigint, Seq>()
  #pending: State | undefined
  #retained: Seq
  #payloadsFrom: Seq
  /** Resyncs that have begun. */
  #resyncs = 0

  constructor(disk: Disk, profile: StorageProfile, hooks: StorageHooks) {
    const { os, amnesia } = disk
    this.#disk = disk
    this.#profile = profile
    this.#hooks = hooks
    this.#retained = os.last.seq
    this.#payloadsFrom = (os.base.seq + 1) as Seq
    const durable = Math.min(os.applied, disk.durable.applied) as Seq
    const { epoch, last, base, history, applied, mark } = os
    disk.openings += 1
    const { openings: opening } = disk
    this.opened = { epoch, last, base, history, applied, durable, amnesia, resync: mark, opening }
    for (const entry of os.entries) if (entry.seq > os.applied) this.#noteDirty(entry)
  }

  /** Committed state, for the server above. */
  get state(): State {
    return this.#disk.os.state
  }
  get applied(): Seq {
    return this.#disk.os.applied
  }
  get last(): Mark {
    return this.#disk.os.last
  }

  /** Committed state and what is appended, for the primary's executor. */
  get pending(): State {
    const { os } = this.#disk
    if (os.last.seq === os.applied) return os.state
    if (this.#pending === undefined) {
      this.#pending = new State(os.state)
      for (const entry of os.entries) if (entry.seq > os.applied) applyBody(this.#pending, entry)
    }
    return this.#pending
  }

  dirtyKey(key: Key): Seq | undefined {
    return this.#dirtyKeys.get(key)
  }
  dirtyBlob(blob: bigint): Seq | undefined {
    return this.#dirtyBlobs.get(blob)
  }

  trustJournal(): void {
    this.#disk.amnesia = false
  }

  append(entry: Entry): 'appended' | 'full' {
    if (this.#disk.full) return 'full'
    this.#hooks.point('before append')
    this.#disk.os.append(entry)
    this.#hooks.appended(entry)
    this.#noteDirty(entry)
    if (this.#pending !== undefined) applyBody(this.#pending, entry)
    this.#hooks.point('after append')
    return 'appended'
  }

  cut(last: Seq): void {
    this.#hooks.point('before cut')
    this.#disk.os.cut(last)
    this.#forgetPending()
    for (const entry of this.#disk.os.entries) if (entry.seq > this.applied) this.#noteDirty(entry)
    this.#hooks.point('after cut')
  }

  read(from: Seq, bytesMax: number): readonly Entry[] | undefined {
    const { os } = this.#disk
    if (from < this.#payloadsFrom || from <= os.base.seq || from > os.last.seq) return undefined
    const result: Entry[] = []
    let bytes = 0
    for (let at = from; at <= os.last.seq; at++) {
      const entry = os.entry(at)
      if (entry === undefined || (result.length > 0 && bytes + entry.body.length > bytesMax)) break
      bytes += entry.body.length
      result.push(entry)
    }
    return result
  }

  markAt(at: Seq): Mark | undefined {
    const { os } = this.#disk
    if (at === os.base.seq) return os.base
    const entry = os.entry(at)
    return entry === undefined ? undefined : { epoch: entry.epoch, seq: entry.seq, chain: entry.chain }
  }

  retain(from: Seq): void {
    this.#retained = from
    this.#trim()
  }

  check(body: Uint8Array): number {
    return checkBody(body)
  }

  commit(to: Seq): void {
    const { os } = this.#disk
    while (os.applied < to) {
      this.#hooks.point('before apply')
      const entry = os.entry((os.applied + 1) as Seq)
      if (entry === undefined) throw new Error(`entry ${os.applied + 1} is to be committed and is not in the journal`)
      os.apply(entry)
      this.#forgetDirty(entry)
      this.#hooks.applied(entry)
      this.#hooks.point('after apply')
    }
    if (os.applied === os.last.seq) this.#forgetPending()
    this.#trim()
  }

  storeEpoch(epoch: Epoch): void {
    this.#hooks.point('before epoch')
    this.#disk.os.epoch = epoch
    this.#hooks.point('after epoch')
  }

  flush(done: (outcome: 'flushed' | 'failed', upTo: Seq) => void): void {
    const image = new Image(this.#disk.os)
    const resyncs = this.#resyncs
    this.#answer(this.#profile.flushMs, () => {
      if (this.#disk.failsNextFlush) {
        this.#disk.failsNextFlush = false
        this.#disk.refused = true
        this.#disk.amnesia = true // as a store notes it: what the disk has is unknown from now on
        done('failed', 0 as Seq)
        throw new Violation('invariants', 'S11', 'a disk refused a flush, and the process goes on')
      }
      // The mark of a resync that has begun since is on the disk already.
      if (resyncs === this.#resyncs) this.#disk.durable = image
      this.#hooks.point('after flush')
      done('flushed', image.last.seq)
    })
  }

  touchedSince(after: Seq, done: (touched: Touched) => void): void {
    const { os } = this.#disk
    const touched = os.touched(after, os.applied)
    this.#answer(this.#profile.collectMs ?? this.#profile.readMs, () => done(touched))
  }

  touchedInTail(after: Seq): Touched {
    return this.#disk.os.touched(after, this.#disk.os.last.seq)
  }

  beginResync(base: Mark, history: readonly EpochStart[], work: readonly WorkItem[]): void {
    const { os } = this.#disk
    this.#hooks.point('before resync')
    os.beginResync(base, history, work)
    this.#resyncs += 1
    this.#payloadsFrom = (base.seq + 1) as Seq
    this.#forgetPending()
    // The mark is on the disk when this returns, and the state of before may not be: it is part of the work anyway.
    const durable = new Image(os)
    if (this.#hooks.random() < 0.5) durable.state = new State(this.#disk.durable.state)
    this.#disk.durable = durable
    this.#hooks.point('after resync')
  }

  resync(): ResyncMark | undefined {
    return this.#disk.os.mark
  }

  describe(item: WorkItem, done: (wanted: Wanted, rest: WorkItem | undefined) => void): void {
    this.#answer(this.#profile.readMs, () => {
      const { wanted, rest } = describe(this.state, item)
      done(wanted, rest)
    })
  }

  readSlice(wanted: Wanted, done: (slice: Omit<Slice, 'at'>) => void): void {
    this.#answer(this.#profile.readMs, () => done(sliceOf(this.state, wanted)))
  }

  applySlice(slice: Slice, rest: readonly WorkItem[]): 'applied' | 'full' {
    const { os } = this.#disk
    if (os.mark === undefined) throw new Error('a slice came to a member that is in sync')
    if (this.#disk.full && slice.movedBytes > 0) return 'full'
    this.#hooks.point('before slice')
    for (const effect of decodeBody(slice.body)) os.state.apply(effect)
    this.#forgetPendingState()
    const contents = blobsIn(os.state, slice.item).map((blob): WorkItem => {
      return { kind: 'range', blob, offset: 0, length: Math.max(blockSize, os.state.blobs.get(blob)?.length ?? 0) }
    })
    const { progress, remaining } = os.mark
    const done = { ...progress, itemsDone: progress.itemsDone + 1, bytesDone: progress.bytesDone + slice.movedBytes }
    os.mark = moreWork({ remaining, progress: done }, [...rest, ...remaining.slice(1)], contents)
    this.#hooks.point('after slice')
    return 'applied'
  }

  endResync(): void {
    this.#hooks.point('before resync ends')
    this.#disk.os.mark = undefined
    this.#disk.amnesia = false
    this.#hooks.point('after resync ends')
  }

  digest(item: WorkItem, options: { readonly detail: boolean }, done: (digest: ItemDigest) => void): void {
    const digest = digestOf(this.state, item, options.detail)
    this.#answer(this.#profile.readMs, () => done(digest))
  }

  space(): Space {
    return { freeBytes: this.#disk.full ? 0 : spaceBytes / 2, totalBytes: spaceBytes }
  }

  /** The disk works again: what has waited for it goes on. */
  resume(): void {
    this.#drain()
  }

  #answer(meanMs: number, done: () => void): void {
    const answer = { done, ready: false }
    this.#waiting.push(answer)
    this.#hooks.later(meanMs * (0.5 + this.#hooks.random()), () => {
      answer.ready = true
      this.#drain()
    })
  }

  /** Gives the answers that are ready, but none before an earlier one. */
  #drain(): void {
    while (!this.#disk.hung && this.#waiting[0]?.ready === true) this.#waiting.shift()?.done()
  }

  #trim(): void {
    const { os, durable } = this.#disk
    const free = Math.min(os.applied, durable.applied, this.#retained - 1)
    const payloads = Math.min(free, os.last.seq - this.#profile.keepPayloads) + 1
    if (payloads > this.#payloadsFrom) this.#payloadsFrom = payloads as Seq
    const base = Math.min(free, os.last.seq - this.#profile.keepEntries)
    if (base > os.base.seq) os.trim(base as Seq, this.#profile.foldMax)
  }

  #noteDirty(entry: Entry): void {
    for (const effect of decodeBody(entry.body)) {
      const touch = touchOf(effect)
      if ('key' in touch) this.#dirtyKeys.set(touch.key, entry.seq)
      else this.#dirtyBlobs.set(touch.range.blob, entry.seq)
    }
  }

  #forgetDirty(entry: Entry): void {
    for (const effect of decodeBody(entry.body)) {
      const touch = touchOf(effect)
      if ('key' in touch && this.#dirtyKeys.get(touch.key) === entry.seq) this.#dirtyKeys.delete(touch.key)
      if ('range' in touch && this.#dirtyBlobs.get(touch.range.blob) === entry.seq)
        this.#dirtyBlobs.delete(touch.range.blob)
    }
  }

  #forgetPending(): void {
    this.#forgetPendingState()
    this.#dirtyKeys = new Map()
    this.#dirtyBlobs = new Map()
  }

  #forgetPendingState(): void {
    this.#pending = undefined
  }
}

function applyBody(state: State, entry: Entry): void {
  for (const effect of decodeBody(entry.body)) state.apply(effect)
}

function moreWork(mark: ResyncMark, remaining: readonly WorkItem[], more: readonly WorkItem[]): ResyncMark {
  const all = [...remaining, ...more]
  return { remaining: all, progress: { ...mark.progress, itemsTotal: mark.progress.itemsDone + all.length } }
}
