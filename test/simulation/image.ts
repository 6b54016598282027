import type { Epoch, Key, Seq } from '../../proto/ids.ts'
import { type Entry, type EpochStart, type Mark, origin } from '../../replication/entry.ts'
import type { BlobRange, ResyncMark, Touched, WorkItem } from '../../replication/work.ts'
import { decodeBody } from './body.ts'
import { State, touchOf } from './state.ts'

/** What a member has of a volume, as far as one kind of crash leaves it. Two of them make a disk. */
export class Image {
  base: Mark = origin
  /** invariant: entries[i].seq === base.seq + 1 + i */
  entries: Entry[] = []
  history: readonly EpochStart[] = []
  epoch = 0 as Epoch
  applied = 0 as Seq
  state: State
  mark: ResyncMark | undefined
  /** What changed in (folded.since, base.seq], for members that were away when the journal was trimmed (S14). */
  folded = new Fold(0 as Seq)

  constructor(from?: Image) {
    this.state = new State(from?.state)
    if (from === undefined) return
    this.base = from.base
    this.entries = [...from.entries]
    this.history = from.history
    this.epoch = from.epoch
    this.applied = from.applied
    this.mark = from.mark
    this.folded = from.folded.copy()
  }

  get last(): Mark {
    return this.entries.at(-1) ?? this.base
  }

  entry(seq: Seq): Entry | undefined {
    return this.entries[seq - this.base.seq - 1]
  }

  append(entry: Entry): void {
    if (entry.seq !== this.last.seq + 1)
      throw new Error(`entry ${entry.seq} after ${this.last.seq}: a hole in the journal`)
    if (entry.epoch > (this.history.at(-1)?.epoch ?? 0)) {
      this.history = [...this.history, { epoch: entry.epoch, first: entry.seq }]
    }
    this.entries.push(entry)
  }

  cut(last: Seq): void {
    this.entries.length = Math.max(0, last - this.base.seq)
    this.history = this.history.filter((start) => start.first <= last)
  }

  apply(entry: Entry): void {
    for (const effect of decodeBody(entry.body)) this.state.apply(effect)
    this.applied = entry.seq
  }

  /** Begins after `to`. What the entries before it touched is remembered by name, up to a limit. */
  trim(to: Seq, foldMax: number): void {
    while (this.base.seq < to) {
      const entry = this.entries.shift()
      if (entry === undefined) throw new Error('the journal was trimmed past its end')
      this.folded.add(entry)
      this.base = { epoch: entry.epoch, seq: entry.seq, chain: entry.chain }
    }
    if (this.folded.size > foldMax) this.folded = new Fold(this.base.seq)
  }

  /** What the entries in (after, to] changed. */
  touched(after: Seq, to: Seq): Touched {
    if (after < this.folded.since) return { everything: true, keys: [], ranges: [] }
    const keys = new Set<Key>()
    const ranges: BlobRange[] = []
    this.folded.collect(after, keys, ranges)
    for (const entry of this.entries) {
      if (entry.seq > after && entry.seq <= to) collect(entry, keys, ranges)
    }
    return { everything: false, keys: [...keys].sort(), ranges: merged(ranges) }
  }

  /** The journal begins anew after `base`. What came before it is no longer known by name. */
  beginAfter(base: Mark, history: readonly EpochStart[]): void {
    this.base = base
    this.entries = []
    this.history = history
    this.folded = new Fold(base.seq)
  }

  beginResync(base: Mark, history: readonly EpochStart[], work: readonly WorkItem[]): void {
    const done = this.mark?.progress
    const remaining = [...(this.mark?.remaining ?? []), ...work]
    const itemsDone = done?.itemsDone ?? 0
    this.mark = {
      remaining,
      progress: { bytesDone: done?.bytesDone ?? 0, bytesTotal: 0, itemsDone, itemsTotal: itemsDone + remaining.length },
    }
    this.beginAfter(base, history)
    this.applied = base.seq
  }
}

class Fold {
  readonly since: Seq
  readonly #keys = new Map<Key, Seq>()
  #ranges: { readonly range: BlobRange; readonly at: Seq }[] = []

  constructor(since: Seq) {
    this.since = since
  }

  get size(): number {
    return this.#keys.size + this.#ranges.length
  }

  add(entry: Entry): void {
    for (const effect of decodeBody(entry.body)) {
      const touch = touchOf(effect)
      if ('key' in touch) this.#keys.set(touch.key, entry.seq)
      else this.#ranges.push({ range: touch.range, at: entry.seq })
    }
  }

  collect(after: Seq, keys: Set<Key>, ranges: BlobRange[]): void {
    for (const [key, at] of this.#keys) if (at > after) keys.add(key)
    for (const { range, at } of this.#ranges) if (at > after) ranges.push(range)
  }

  copy(): Fold {
    const copy = new Fold(this.since)
    for (const [key, at] of this.#keys) copy.#keys.set(key, at)
    copy.#ranges = [...this.#ranges]
    return copy
  }
}

function collect(entry: Entry, keys: Set<Key>, ranges: BlobRange[]): void {
  for (const effect of decodeBody(entry.body)) {
    const touch = touchOf(effect)
    if ('key' in touch) keys.add(touch.key)
    else ranges.push(touch.range)
  }
}

/** The same bytes in as few ranges as possible. */
function merged(ranges: readonly BlobRange[]): readonly BlobRange[] {
  const result: BlobRange[] = []
  const sorted = [...ranges].sort((a, b) => Number(a.blob - b.blob) || a.offset - b.offset)
  for (const range of sorted) {
    const last = result.at(-1)
    if (last === undefined || last.blob !== range.blob || last.offset + last.length < range.offset) {
      result.push(range)
      continue
    }
    const end = Math.max(last.offset + last.length, range.offset + range.length)
    result[result.length - 1] = { ...last, length: end - last.offset }
  }
  return result
}
