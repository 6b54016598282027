import assert from 'node:assert/strict'
import { type Epoch, type Seq, seq } from '../proto/ids.ts'
import { type Entry, type EpochStart, type Mark, nextChain } from './entry.ts'
import type { Host, Storage } from './ports.ts'

/** What this member has of the volume's one order, and how far it is committed. Every change of it goes through here. */
export class Journal {
  readonly #storage: Storage
  readonly #host: Pick<Host, 'appended' | 'cut' | 'restarted'>
  /** invariant: base.seq <= committed <= last.seq */
  #base: Mark
  #last: Mark
  #committed: Seq
  /** Greatest epoch acknowledged or spoken under. invariant: >= last.epoch */
  #epoch: Epoch
  /** invariant: epochs and firsts both grow; the last epoch is that of #last, unless nothing was ever written */
  #history: readonly EpochStart[]

  constructor(storage: Storage, host: Pick<Host, 'appended' | 'cut' | 'restarted'>) {
    const opened = storage.opened
    this.#storage = storage
    this.#host = host
    this.#base = opened.base
    this.#last = opened.last
    this.#committed = seq(Math.min(opened.applied, opened.last.seq))
    this.#epoch = opened.epoch
    this.#history = opened.history
  }

  get base(): Mark {
    return this.#base
  }
  get last(): Mark {
    return this.#last
  }
  get committed(): Seq {
    return this.#committed
  }
  get epoch(): Epoch {
    return this.#epoch
  }
  get history(): readonly EpochStart[] {
    return this.#history
  }

  /** The entry that would stand next under `epoch` with this body. */
  next(epoch: Epoch, body: Uint8Array): Entry {
    const chain = nextChain(this.#last.chain, epoch, this.#storage.check(body))
    return { epoch, seq: seq(this.#last.seq + 1), chain, body }
  }

  /** Whether the entry continues this very history (R39). */
  continues(entry: Entry): boolean {
    return entry.chain === nextChain(this.#last.chain, entry.epoch, this.#storage.check(entry.body))
  }

  append(entry: Entry): 'appended' | 'full' {
    assert(entry.seq === this.#last.seq + 1, 'a hole in the journal')
    assert(entry.epoch >= this.#last.epoch && entry.epoch <= this.#epoch, 'an entry of an epoch that is not now')
    if (this.#storage.append(entry) === 'full') return 'full'
    if (entry.epoch > (this.#history.at(-1)?.epoch ?? -1)) {
      this.#history = [...this.#history, { epoch: entry.epoch, first: entry.seq }]
    }
    this.#last = { epoch: entry.epoch, seq: entry.seq, chain: entry.chain }
    this.#host.appended(entry)
    return 'appended'
  }

  /** Forgets what comes after `to`; nothing of it was ever visible (R3). */
  cut(to: Seq): void {
    if (to >= this.#last.seq) return
    assert(to >= this.#committed, 'a committed entry was to be cut')
    const mark = this.#storage.markAt(to)
    assert(mark !== undefined, 'the journal was to be cut where it has no entry')
    this.#storage.cut(to)
    this.#last = mark
    this.#history = this.#history.filter((start) => start.first <= to)
    this.#host.cut(to)
  }

  commit(to: Seq): void {
    if (to <= this.#committed) return
    assert(to <= this.#last.seq, 'an entry was to be committed that is not in the journal')
    this.#storage.commit(to)
    this.#committed = to
  }

  /** From now on this member speaks, and listens to, nothing older (R5). */
  adopt(epoch: Epoch): void {
    if (epoch <= this.#epoch) return
    this.#storage.storeEpoch(epoch)
    this.#epoch = epoch
  }

  /** Begins anew after `base`, with the history of somebody whose state is being fetched. */
  restart(base: Mark, history: readonly EpochStart[]): void {
    this.#base = base
    this.#last = base
    this.#committed = base.seq
    this.#history = history
    this.#host.restarted(base.seq)
  }

  checkInvariants(): void {
    assert(this.#base.seq <= this.#committed && this.#committed <= this.#last.seq, 'base <= committed <= last')
    assert(this.#epoch >= this.#last.epoch, 'an entry of a future epoch')
    assert(
      (this.#history.at(-1)?.epoch ?? 0) === this.#last.epoch,
      'the history ends with another epoch than the journal',
    )
    let before: EpochStart | undefined
    for (const start of this.#history) {
      assert(before === undefined || (before.epoch < start.epoch && before.first < start.first), 'epochs out of order')
      before = start
    }
  }
}
