import type { Epoch, Seq } from '../../proto/ids.ts'
import type { Entry, Mark } from '../../replication/entry.ts'
import { Image } from './image.ts'
import type { Prng } from './random.ts'

/** One host's disk. It outlives processes; what of it outlives the host is another matter. */
export class Disk {
  /** What the operating system has: kill -9 leaves it as it is. */
  os = new Image()
  /** What was flushed. A crash of the host leaves this, and of the rest what chance has written out already. */
  durable = new Image()
  /** The host went down, and what may be missing has not been brought over since (R12). */
  amnesia = false
  openings = 0
  full = false
  hung = false
  /** The next flush fails; what it should have written never reaches the disk by itself. */
  failsNextFlush = false
  /** A flush has failed: the process that saw it must end for that. */
  refused = false

  /** Another disk is put in, or somebody removes all that is on it. */
  empty(): void {
    this.os = new Image()
    this.durable = new Image()
    this.amnesia = false
    this.openings = 0
  }

  /** The host goes down: see S9 to S11 for what a store makes of what is left. */
  crash(random: Prng): void {
    const before = this.os
    const after = new Image(this.durable)
    const kept = this.#survivingTail(random)
    after.cut(kept.common)
    for (const entry of kept.tail) after.append(entry)
    // The store's log is a file of its own: batches after `durable` are there up to some position, redone or not.
    const whole = after.mark === undefined && before.mark === undefined
    const stored = (whole ? between(random, after.applied, before.applied) : after.applied) as Seq
    while (after.applied < stored) after.apply(entryOf(before, (after.applied + 1) as Seq))
    const mark = stored > kept.common ? markOf(before, stored) : undefined
    if (mark !== undefined && after.entry(stored)?.epoch !== mark.epoch) {
      // The store knows of entries that the journal has lost: the journal begins anew after them.
      const history = before.history.filter((start) => start.first <= stored)
      after.beginAfter(mark, history)
    }
    after.epoch = Math.max(after.last.epoch, random.chance(0.5) ? before.epoch : this.durable.epoch) as Epoch
    this.os = after
    this.durable = new Image(after)
    this.amnesia = true
  }

  /** Which of the unflushed entries are found again. A torn or missing one ends the journal, so it is always a prefix. */
  #survivingTail(random: Prng): { readonly common: Seq; readonly tail: readonly Entry[] } {
    const before = this.os
    let common = Math.max(before.base.seq, this.durable.base.seq) as Seq
    for (;;) {
      const next = (common + 1) as Seq
      const entry = before.entry(next)
      if (entry === undefined || entry !== this.durable.entry(next)) break
      common = next
    }
    // Entries that were cut after the last flush may be back, if nothing was written over them yet.
    const flushed = this.durable.entries.filter((entry) => entry.seq > common)
    if (flushed.length > 0 && random.chance(0.5))
      return { common, tail: flushed.slice(0, 1 + random.below(flushed.length)) }
    const unflushed = before.entries.filter((entry) => entry.seq > common)
    return { common, tail: unflushed.slice(0, between(random, 0, unflushed.length)) }
  }
}

/** Often one of the ends, where the mistakes are. */
function between(random: Prng, low: number, high: number): number {
  const kind = random.next()
  if (kind < 0.3) return low
  return kind < 0.5 ? high : low + random.below(high - low + 1)
}

function entryOf(image: Image, seq: Seq): Entry {
  const entry = image.entry(seq)
  if (entry === undefined) throw new Error(`entry ${seq} was trimmed before it was durable (S11)`)
  return entry
}

function markOf(image: Image, seq: Seq): Mark | undefined {
  if (seq === image.base.seq) return image.base
  const entry = image.entry(seq)
  return entry === undefined ? undefined : { epoch: entry.epoch, seq: entry.seq, chain: entry.chain }
}
