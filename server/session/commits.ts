import type { Seq } from '../../proto/ids.ts'
import type { Position } from '../../replication/entry.ts'

/** How far this member has committed, and who waits for it to come further. */
export class Commits {
  #committed: Seq
  readonly position: (at: Seq) => Position
  /** invariant: ascending by `at`, from #first on; all of them > #committed */
  #waiting: { readonly at: Seq; readonly resolve: (reached: boolean) => void }[] = []
  #first = 0

  /** `position` knows under which epoch an entry was written. */
  constructor(committed: Seq, position: (at: Seq) => Position) {
    this.#committed = committed
    this.position = position
  }

  get committed(): Seq {
    return this.#committed
  }

  /** The state that is visible here. */
  get here(): Position {
    return this.position(this.#committed)
  }

  /** Less than before: this member's history was lost everywhere else, and it begins anew with another. */
  onCommitted(to: Seq): void {
    this.#committed = to
    for (;;) {
      const next = this.#waiting[this.#first]
      if (next === undefined || next.at > to) break
      this.#first++
      next.resolve(true)
    }
    if (this.#first > 1000 || this.#first === this.#waiting.length) {
      this.#waiting = this.#waiting.slice(this.#first)
      this.#first = 0
    }
  }

  /** True as soon as state up to `at` is visible here; false when `giveUp` was called before. */
  reached(at: Seq): Promise<boolean> {
    if (at <= this.#committed) return Promise.resolve(true)
    return new Promise((resolve) => {
      let place = this.#waiting.length
      while (place > this.#first && (this.#waiting[place - 1]?.at ?? 0) > at) place--
      if (place === this.#waiting.length) this.#waiting.push({ at, resolve })
      else this.#waiting.splice(place, 0, { at, resolve })
    })
  }

  /** This member's role has changed: what was waited for may never come, or mean something else. */
  giveUp(): void {
    const waiting = this.#waiting.slice(this.#first)
    this.#waiting = []
    this.#first = 0
    for (const { resolve } of waiting) resolve(false)
  }
}
