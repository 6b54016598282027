import assert from 'node:assert'
import { mkdirSync, readdirSync, unlinkSync } from 'node:fs'
import { join } from 'node:path'
import type { Epoch, Seq } from '../../proto/ids.ts'
import { type Entry, type EpochStart, type Mark, nextChain, origin } from '../../replication/entry.ts'
import { isFull, syncDirectory } from './file-io.ts'
import {
  carryRecord,
  type EntryRecord,
  entryFrameBytes,
  frameEntry,
  type JournalRecord,
  noteRecord,
  type Place,
} from './journal-record.ts'
import { Rounds } from './rounds.ts'
import { Segment } from './segment.ts'

/** How a journal was found at its opening. */
export interface JournalFound {
  readonly journal: Journal
  /** `torn`: the end of the last record was missing, as after kill -9; `damage`: anything worse. It was cut there. */
  readonly end: 'whole' | 'torn' | 'damage'
  /** What `reset` was given to keep; undefined when the segment it stood in is not there any more. */
  readonly carry: Uint8Array | undefined
}

const nothing = new Uint8Array(0)

/**
 * The entries of one member, in append-only segments (S9): `0000000a-0000000000001000.journal` is of generation 10 and
 * begins after entry 1000. Tails of big bodies are in staging; here is only where.
 */
export class Journal {
  readonly #dir: string
  readonly #segmentBytes: number
  /** invariant: never empty; each begins where the one before ends */
  readonly #segments: Segment[] = []
  readonly #frame = Buffer.allocUnsafe(entryFrameBytes)
  readonly #rounds = new Rounds(() => this.#syncRound())
  #history: EpochStart[] = []
  #last: Mark = origin
  /** The greatest note: see `note`. */
  #noted = 0 as Seq
  #dirUnsynced = true

  private constructor(dir: string, segmentBytes: number) {
    this.#dir = dir
    this.#segmentBytes = segmentBytes
  }

  static open(dir: string, segmentBytes: number): JournalFound {
    mkdirSync(dir, { recursive: true })
    const journal = new Journal(dir, segmentBytes)
    const found = new Finding()
    for (const segment of journal.#newestGeneration(found)) journal.#adopt(segment, found)
    if (journal.#segments.length === 0) {
      journal.#segments.push(journal.#create(1, carryRecord(nothing)))
      if (found.end === 'whole') found.carry = nothing
    }
    return { journal, end: found.end, carry: found.carry }
  }

  get last(): Mark {
    return this.#last
  }

  get base(): Mark {
    return this.#oldest.header.base
  }

  get history(): readonly EpochStart[] {
    return this.#history
  }

  get generation(): number {
    return this.#oldest.header.generation
  }

  get noted(): Seq {
    return this.#noted
  }

  get bytes(): number {
    return this.#segments.reduce((sum, segment) => sum + segment.bytes, 0)
  }

  get failed(): boolean {
    return this.#rounds.failed
  }

  append(entry: Entry, check: number, place: Place, head: Uint8Array): 'appended' | 'full' {
    assert(entry.seq === this.#last.seq + 1, `entry ${entry.seq} after ${this.#last.seq}`)
    assert(entry.epoch >= this.#last.epoch, `entry of epoch ${entry.epoch} after one of ${this.#last.epoch}`)
    assert(entry.chain === nextChain(this.#last.chain, entry.epoch, check), `entry ${entry.seq} has another history`)
    frameEntry(this.#frame, entry, { check, length: entry.body.length }, place, head)
    try {
      if (this.#newest.bytes >= this.#segmentBytes) this.#segments.push(this.#create(this.generation, nothing))
      this.#newest.appendEntry(this.#frame, head)
    } catch (error) {
      if (isFull(error)) return 'full'
      throw error
    }
    this.#remember(entry)
    return 'appended'
  }

  /** Forgets all entries after `last`. */
  cut(last: Seq): void {
    if (last >= this.#last.seq) return
    assert(last >= this.base.seq, `a cut to ${last} before the base ${this.base.seq}`)
    const mark = this.markAt(last)
    assert(mark !== undefined)
    while (this.#newest.header.base.seq > last) this.#remove(this.#segments.pop())
    this.#newest.cut(last, noteRecord(this.#noted))
    this.#last = mark
    this.#history = this.#history.filter((start) => start.first <= last)
  }

  /**
   * Writes down that everything up to `committed` is committed and that its blob ranges are written. On the disk with
   * the next sync, hence before staging is used again for what is later.
   */
  note(committed: Seq): void {
    if (committed <= this.#noted) return
    this.#newest.append(noteRecord(committed))
    this.#noted = committed
  }

  entry(at: Seq): EntryRecord | undefined {
    return this.#segmentOf(at)?.entry(at)
  }

  /** Entries from `from` on, in order, until `take` answers false. Heads are views that stay good. */
  entries(from: Seq, take: (record: EntryRecord) => boolean, aheadBytes?: number): void {
    let going = true
    for (const segment of this.#segments) {
      if (!going || segment.last < from) continue
      segment.records(
        Math.max(from, segment.header.base.seq + 1) as Seq,
        (record) => {
          if (record.kind === 'entry') going = take(record)
          return going
        },
        aheadBytes,
      )
    }
  }

  markAt(at: Seq): Mark | undefined {
    if (at === this.#last.seq) return this.#last
    if (at === this.base.seq) return this.base
    return this.entry(at)?.mark
  }

  /** Everything appended and noted before the call is on the disk afterwards. */
  sync(): Promise<void> {
    return this.#rounds.run()
  }

  /**
   * Empties the journal; it begins after `base` now. `carry` is kept for whoever opens it next. One rename decides:
   * kill -9 leaves the old journal or the new one.
   */
  reset(base: Mark, history: readonly EpochStart[], carry: Uint8Array): void {
    const old = this.#segments.splice(0)
    this.#last = { epoch: base.epoch, seq: base.seq, chain: base.chain } // it may be an entry, with its body
    this.#history = [...history]
    this.#noted = base.seq
    this.#segments.push(this.#create((old[0]?.header.generation ?? 0) + 1, carryRecord(carry)))
    for (const segment of old) this.#remove(segment)
  }

  /** The oldest segment, if it is not the one that is written: what would be forgotten next. */
  get droppable(): { readonly base: Seq; readonly last: Seq } | undefined {
    return this.#segments.length < 2 ? undefined : { base: this.base.seq, last: this.#oldest.last }
  }

  dropOldest(): void {
    assert(this.#segments.length > 1)
    this.#remove(this.#segments.shift())
  }

  close(): void {
    for (const segment of this.#segments) segment.close()
  }

  get #newest(): Segment {
    const newest = this.#segments.at(-1)
    assert(newest !== undefined)
    return newest
  }

  get #oldest(): Segment {
    const oldest = this.#segments[0]
    assert(oldest !== undefined)
    return oldest
  }

  #segmentOf(at: Seq): Segment | undefined {
    return this.#segments.findLast((segment) => segment.header.base.seq < at && at <= segment.last)
  }

  #create(generation: number, first: Uint8Array): Segment {
    const name = `${generation.toString(16).padStart(8, '0')}-${String(this.#last.seq).padStart(16, '0')}.journal`
    this.#dirUnsynced = true
    const header = { generation, base: this.#last, history: [...this.#history], committed: this.#noted }
    return Segment.create(join(this.#dir, name), header, first)
  }

  #remove(segment: Segment | undefined): void {
    if (segment === undefined) return
    segment.close()
    unlinkSync(segment.path)
    this.#dirUnsynced = true
  }

  #remember(mark: Mark): void {
    this.#last = { epoch: mark.epoch, seq: mark.seq, chain: mark.chain }
    if (mark.epoch > (this.#history.at(-1)?.epoch ?? (0 as Epoch))) {
      this.#history.push({ epoch: mark.epoch, first: mark.seq })
    }
  }

  async #syncRound(): Promise<void> {
    const dir = this.#dirUnsynced
    this.#dirUnsynced = false
    await Promise.all(this.#segments.filter((segment) => segment.unsynced).map((segment) => segment.sync()))
    if (dir) await syncDirectory(this.#dir)
  }

  /** Segments in order. Older generations, and what a crash left half made, are removed. */
  #newestGeneration(found: Finding): Segment[] {
    const segments: Segment[] = []
    for (const name of readdirSync(this.#dir).sort()) {
      const path = join(this.#dir, name)
      const segment = name.endsWith('.journal') ? Segment.open(path) : undefined
      if (segment !== undefined) {
        while (segments.length > 0 && segments[0]?.header.generation !== segment.header.generation) {
          this.#remove(segments.shift())
        }
        segments.push(segment)
      } else if (name.endsWith('.new')) unlinkSync(path)
      else if (name.endsWith('.journal')) {
        found.end = 'damage' // it appeared under this name with its header in it
        unlinkSync(path)
      }
    }
    return segments
  }

  #adopt(segment: Segment, found: Finding): void {
    const first = this.#segments.length === 0
    const { base, history, committed } = segment.header
    const fits = first || (base.seq === this.#last.seq && base.chain === this.#last.chain && found.open)
    if (!fits) {
      found.end = 'damage'
      return this.#remove(segment)
    }
    if (first) {
      this.#last = base
      this.#history = [...history]
    }
    this.#noted = Math.max(this.#noted, committed) as Seq
    this.#segments.push(segment)
    const end = segment.scan((record) => this.#found(record, found))
    if (end === 'nothing') return
    found.open = false
    found.end = end
  }

  #found(record: JournalRecord, found: Finding): boolean {
    if (record.kind === 'carry') found.carry = record.body
    if (record.kind === 'note') this.#noted = Math.max(this.#noted, record.committed) as Seq
    if (record.kind !== 'entry') return true
    const { mark, check } = record
    const follows = mark.seq === this.#last.seq + 1 && mark.epoch >= this.#last.epoch
    if (!follows || mark.chain !== nextChain(this.#last.chain, mark.epoch, check)) return false
    this.#remember(mark)
    return true
  }
}

/** What an opening has come across so far. */
class Finding {
  end: JournalFound['end'] = 'whole'
  carry: Uint8Array | undefined
  /** Nothing was missing yet: a further segment may follow. */
  open = true
}
