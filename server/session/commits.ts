import type { Seq } from '../../proto/ids.ts'

/** How far this member has committed, and who waits for it to come further. */
export class Commits {
  #committed: Seq
  /** invariant: ascending by `at`, from #first on; all of them > #committed */
  #waiting: { readonly at: Seq; readonly resolve: (reached: boolean) => void }[] = []
  #first = 0

  constructor(committed: Seq) {
    this.#committed = committed
  }

  get committed(): Seq {
    return this.#committed
  }

  onCommitted(to: Seq): void {
    if (to <= this.#committed) return
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
