import type { Key, Seq } from '../../proto/ids.ts'
import type { View } from '../filesystem/view.ts'
import type { HeadEffect } from './body.ts'
import type { BodyCheck } from './body-check.ts'
import type { Effect } from './effect.ts'

/** An entry that is in the journal and not committed. */
export interface PendingEntry {
  readonly seq: Seq
  readonly body: Uint8Array | undefined
  /** Undefined after a restart: then the journal is read again. */
  readonly effects: readonly Effect[] | undefined
  readonly parts: BodyCheck['parts'] | undefined
  readonly touches: readonly (Effect | HeadEffect)[]
  /** Bytes that its blob writes may yet need on the disk. */
  readonly blobBytes: number
}

interface Newest {
  readonly seq: Seq
  readonly value: Uint8Array | undefined
}

/** What is appended but not committed: the entries, in order, and the newest value of each key they change. */
export class Pending implements View {
  readonly #committed: View
  readonly #newest = new Map<Key, Newest>()
  /** invariant: without holes; `#first` of them are committed already */
  #entries: PendingEntry[] = []
  #first = 0
  #blobBytes = 0

  constructor(committed: View) {
    this.#committed = committed
  }

  get(key: Key): Uint8Array | undefined {
    const newest = this.#newest.get(key)
    return newest === undefined ? this.#committed.get(key) : newest.value
  }

  dirty(key: Key): Seq | undefined {
    return this.#newest.get(key)?.seq
  }

  get blobBytes(): number {
    return this.#blobBytes
  }

  add(entry: PendingEntry): void {
    this.#entries.push(entry)
    this.#blobBytes += entry.blobBytes
    this.#show(entry)
  }

  /** The next entry to commit; undefined when there is none up to `to`. It stays until `committed` is called. */
  next(to: Seq): PendingEntry | undefined {
    const entry = this.#entries[this.#first]
    return entry !== undefined && entry.seq <= to ? entry : undefined
  }

  /** The entry that `next` gave is committed: the committed view shows its values. */
  committed(entry: PendingEntry): void {
    this.#first++
    this.#blobBytes -= entry.blobBytes
    for (const effect of entry.touches) {
      if (effect.kind !== 'put' && effect.kind !== 'delete') continue
      if (this.#newest.get(effect.key)?.seq === entry.seq) this.#newest.delete(effect.key)
    }
    if (this.#first < 1000 && this.#first < this.#entries.length) return
    this.#entries.splice(0, this.#first)
    this.#first = 0
  }

  /** Forgets all entries after `last`. */
  cut(last: Seq): void {
    const kept = this.#entries.slice(this.#first).filter((entry) => entry.seq <= last)
    this.clear()
    for (const entry of kept) this.add(entry)
  }

  clear(): void {
    this.#entries = []
    this.#first = 0
    this.#blobBytes = 0
    this.#newest.clear()
  }

  /** What an entry that is here changes. */
  touchesOf(seq: Seq): PendingEntry['touches'] {
    const first = this.#entries[this.#first]
    return first === undefined ? [] : (this.#entries[this.#first + seq - first.seq]?.touches ?? [])
  }

  /** Every key that some entry here changes. */
  keys(): Iterable<Key> {
    return this.#newest.keys()
  }

  /** The entry with this sequence, if it is here with its body. */
  bodyOf(seq: Seq): Uint8Array | undefined {
    const first = this.#entries[this.#first]
    return first === undefined ? undefined : this.#entries[this.#first + seq - first.seq]?.body
  }

  #show(entry: PendingEntry): void {
    for (const effect of entry.touches) {
      if (effect.kind === 'put') this.#newest.set(effect.key, { seq: entry.seq, value: effect.value })
      else if (effect.kind === 'delete') this.#newest.set(effect.key, { seq: entry.seq, value: undefined })
    }
  }
}
