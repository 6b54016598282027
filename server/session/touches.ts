import type { Seq } from '../../proto/ids.ts'

/** Beyond it the oldest are forgotten: an answer made before their entry is then not leased, whatever it is about. */
const touchesMax = 100_000

/**
 * Which entry of this member's journal touched an inode last. An answer made from state `at` may be leased only while no
 * later entry touches what it is about: neither one that waits to be committed (S3) nor one that went by while the answer
 * was being made (R23).
 */
export class Touches {
  /** In the order of the entries. */
  readonly #last = new Map<bigint, Seq>()
  /** What is not in the map was touched no later. */
  #floor: Seq

  constructor(journalEnd: Seq) {
    this.#floor = journalEnd
  }

  note(at: Seq, inos: Iterable<bigint>): void {
    for (const ino of inos) {
      this.#last.delete(ino)
      this.#last.set(ino, at)
    }
    for (const [ino, seq] of this.#last) {
      if (this.#last.size <= touchesMax) break
      this.#last.delete(ino)
      if (seq > this.#floor) this.#floor = seq
    }
  }

  untouchedSince(at: Seq, ino: bigint): boolean {
    return (this.#last.get(ino) ?? this.#floor) <= at
  }

  /** Entries after `to` are gone; what touched their inodes before them is not known any more. */
  cut(to: Seq): void {
    for (const [ino, seq] of this.#last) if (seq > to) this.#last.delete(ino)
    if (to > this.#floor) this.#floor = to
  }

  /** The journal begins anew after `base`. */
  restart(base: Seq): void {
    this.#last.clear()
    this.#floor = base
  }
}
