import type { Seq } from '../../proto/ids.ts'
import type { Parts } from './parts.ts'
import { Rounds } from './rounds.ts'
import type { StateWriter } from './state-writer.ts'

type FlushDone = (outcome: 'flushed' | 'failed', upTo: Seq) => void

/** What brings things to the disk: for those who ask (`flush`), and once in a while for all of it (`checkpoint`). */
export class Durability {
  readonly #parts: Parts
  readonly #writer: StateWriter
  readonly #broken: (error: unknown) => void
  readonly #checkpoints = new Rounds(() => this.#checkpointRound())
  #waiting: FlushDone[] = []
  #flushing: Promise<void> | undefined

  /** `broken`: whoever was told that a flush failed, or succeeded, could not go on. */
  constructor(parts: Parts, writer: StateWriter, broken: (error: unknown) => void) {
    this.#parts = parts
    this.#writer = writer
    this.#broken = broken
  }

  get failed(): boolean {
    const { journal, staging, blobs } = this.#parts
    return journal.failed || staging.failed || blobs.failed || this.#checkpoints.failed
  }

  /**
   * Everything appended and committed, such that it can be had again from this disk: entries and blobs. Level need not
   * be there: it is redone from the journal. But while a resync is under way it must be, since slices are in no journal.
   */
  flush(done: FlushDone): void {
    this.#waiting.push(done)
    this.#flushing ??= this.#flushAll()
  }

  /** No flush is under way. */
  async idle(): Promise<void> {
    await this.#flushing
  }

  /** Blobs, journal and level are on the disk up to what is committed at the call, and that is recorded (S11). */
  checkpoint(): Promise<void> {
    return this.#checkpoints.run()
  }

  /** Has anything happened that a checkpoint would record? */
  get isBehind(): boolean {
    const { committed, meta, resync, keys } = this.#parts
    return committed > meta.meta.durable || !keys.isEmpty || (resync?.reached.steps ?? 0) > meta.meta.resyncSteps
  }

  async #flushAll(): Promise<void> {
    await Promise.resolve() // `done` comes later, and `#flushing` is set
    while (this.#waiting.length > 0) {
      const round = this.#waiting.splice(0)
      const upTo = this.#parts.journal.last.seq
      const outcome = await this.#flushRound()
      try {
        for (const done of round) done(outcome, upTo)
      } catch (error) {
        this.#broken(error)
      }
    }
    this.#flushing = undefined
  }

  async #flushRound(): Promise<'flushed' | 'failed'> {
    try {
      await this.#syncEntries()
      if (this.#parts.resync !== undefined) await this.checkpoint()
      return 'flushed'
    } catch (error) {
      this.#distrust(error)
      return 'failed'
    }
  }

  async #syncEntries(): Promise<void> {
    const { parts } = { parts: this.#parts }
    const { committed } = parts
    const staged = parts.staging.hasAfter(committed)
    if (staged) parts.relied = parts.journal.last.seq
    await Promise.all([parts.journal.sync(), parts.blobs.sync(), staged ? parts.staging.sync() : undefined])
    parts.blobsSynced = Math.max(parts.blobsSynced, committed) as Seq
  }

  async #checkpointRound(): Promise<void> {
    if (this.#parts.torn) return
    const { journal, blobs, keys, meta } = this.#parts
    const { generation } = journal
    const durable = this.#parts.committed
    const resyncSteps = this.#parts.resync?.reached.steps ?? 0
    try {
      await blobs.sync()
      await this.#writer.drain()
      await keys.sync()
      if (journal.generation !== generation) return // the journal began anew meanwhile: nothing is known of that one
      meta.update({ durable, resyncSteps })
      await meta.sync()
    } catch (error) {
      this.#distrust(error)
      throw error
    }
  }

  /** What the disk has is unknown now, and will be after a restart: the member must say so (R12). */
  #distrust(error: unknown): void {
    this.#parts.log('store.sync-failed', { dir: this.#parts.dir, error: String(error) })
    if (!this.#parts.meta.meta.amnesia) this.#parts.meta.update({ amnesia: true })
  }
}
