import { setImmediate as breathe } from 'node:timers/promises'
import type { Seq } from '../../proto/ids.ts'
import type { Touched } from '../../replication/work.ts'
import { decodeHead } from './body.ts'
import type { EntryRecord } from './journal-record.ts'
import type { Parts } from './parts.ts'
import type { StateWriter } from './state-writer.ts'
import { TouchedSet } from './touched.ts'

/** No longer at a stretch: others want the process too. */
const stretchMs = 3
const everything: Touched = { everything: true, keys: [], ranges: [] }

/** Keeps the journal bounded, and knows what was changed since when (S14). */
export class Retention {
  readonly #parts: Parts
  readonly #writer: StateWriter

  constructor(parts: Parts, writer: StateWriter) {
    this.#parts = parts
    this.#writer = writer
  }

  /** Folds the oldest segments while there are too many: those that nobody needs whole any more. */
  async bound(): Promise<void> {
    const { journal, folds, limits } = this.#parts
    while (journal.bytes > limits.journalBytesMax) {
      const span = journal.droppable
      const { generation } = journal
      if (span === undefined || span.last > this.#unneeded()) return
      const touched = new TouchedSet()
      await this.#scan(touched, span.base, () => span.last)
      if (journal.generation !== generation) return
      await folds.add(generation, span, touched)
      if (journal.generation !== generation) return folds.clear()
      journal.dropOldest()
    }
  }

  /** `done` runs while what it is given is all that is committed after `after`. */
  async touchedSince(after: Seq, done: (touched: Touched) => void): Promise<void> {
    const { journal, folds, blobs } = this.#parts
    for (;;) {
      const { generation, base } = journal
      const touched = new TouchedSet()
      if (after < base.seq && !folds.reachTo(after)) return done(everything)
      if (after < base.seq) await stretched(folds.collect(after, touched))
      const whole = await this.#scan(touched, Math.max(after, base.seq) as Seq, () => this.#parts.committed)
      if (whole && journal.generation === generation && journal.base.seq === base.seq) {
        return done(touched.touched((blob) => blobs.size(blob)))
      }
    }
  }

  /** Committed or not, at once. */
  touchedInTail(after: Seq): Touched {
    const { journal, folds, blobs } = this.#parts
    const touched = new TouchedSet()
    if (after < journal.base.seq && !folds.reachTo(after)) return everything
    if (after < journal.base.seq) for (const _ of folds.collect(after, touched)) continue
    journal.entries((after + 1) as Seq, (record) => addTo(touched, record))
    return touched.touched((blob) => blobs.size(blob))
  }

  /** Entries up to here need not be readable: on the disk in every form, and acknowledged by all who are attached. */
  #unneeded(): number {
    const { meta, retainFrom } = this.#parts
    return Math.min(meta.meta.durable, this.#writer.stored, retainFrom - 1)
  }

  /** Entries after `after` up to `upTo`, which may grow meanwhile. False: the journal was cut or dropped under it. */
  async #scan(touched: TouchedSet, after: Seq, upTo: () => Seq): Promise<boolean> {
    const { journal } = this.#parts
    let at = after
    while (at < upTo()) {
      const before = at
      const until = performance.now() + stretchMs
      journal.entries((at + 1) as Seq, (record) => {
        if (record.mark.seq > upTo()) return false
        addTo(touched, record)
        at = record.mark.seq
        return at % 64 !== 0 || performance.now() < until
      })
      if (at === before) return false
      if (at < upTo()) await breathe()
    }
    return true
  }
}

function addTo(touched: TouchedSet, record: EntryRecord): true {
  const effects = decodeHead(record.head)
  if (effects === undefined) throw new Error(`entry ${record.mark.seq} in the journal can't be read`)
  touched.add(effects)
  return true
}

async function stretched(steps: Generator<void>): Promise<void> {
  let until = performance.now() + stretchMs
  for (const _ of steps) {
    if (performance.now() < until) continue
    await breathe()
    until = performance.now() + stretchMs
  }
}
