/** One call of a client: when it was made, when it had its answer, and which. */
export interface Call<Op> {
  readonly op: Op
  readonly invoked: number
  /** Infinity: the answer never came, so it may have taken effect at any time since, or never. */
  readonly returned: number
  /** Of a call that never came back: undefined. */
  readonly result: string | undefined
  /** Where it may stand in the order that is looked for: tried in this order first. By default, its invocation. */
  readonly hint?: number
}

/** What an object is supposed to do, one call after the other. States are texts, so that they can be compared. */
export interface Model<Op> {
  readonly initial: string
  step(state: string, op: Op): { readonly state: string; readonly result: string }
}

/**
 * An order of the calls in which every one could have happened at a moment between its invocation and its return, and in
 * which a sequential object gives the results that were seen; undefined if there is none, so the history is not
 * linearizable. (Wing and Gong 1993, with Lowe's memory of what was tried: same calls done, same state.)
 *
 * Exponential at worst, in the number of calls that overlap; `stepsMax` bounds it.
 *
 * @throws SearchTooLong
 */
export function linearize<Op>(
  model: Model<Op>,
  history: readonly Call<Op>[],
  stepsMax = 1_000_000,
): readonly Call<Op>[] | undefined {
  const calls = [...history].sort((a, b) => (a.hint ?? a.invoked) - (b.hint ?? b.invoked))
  return new Search(model, calls, stepsMax).run()
}

/** Neither yes nor no. */
export class SearchTooLong extends Error {}

interface Choice {
  readonly index: number
  readonly stateBefore: string
}

class Search<Op> {
  readonly #model: Model<Op>
  readonly #calls: readonly Call<Op>[]
  readonly #done: boolean[]
  readonly #tried = new Set<string>()
  readonly #path: Choice[] = []
  /** Of each call: the earliest invocation among it and those that are tried after it. */
  readonly #invokedFrom: number[]
  /** Calls without an answer: few, but at their place they could be all the search long. */
  readonly #unanswered: readonly number[]
  #state: string
  #stepsLeft: number
  /** Calls that have an answer and no place yet. */
  #open: number
  /** invariant: every answered call before it has a place. */
  #first = 0

  constructor(model: Model<Op>, calls: readonly Call<Op>[], stepsMax: number) {
    this.#model = model
    this.#calls = calls
    this.#done = calls.map(() => false)
    this.#state = model.initial
    this.#stepsLeft = stepsMax
    this.#open = calls.filter((call) => call.result !== undefined).length
    this.#unanswered = calls.flatMap((call, index) => (call.result === undefined ? [index] : []))
    this.#invokedFrom = calls.map((call) => call.invoked)
    for (let index = calls.length - 2; index >= 0; index--) {
      this.#invokedFrom[index] = Math.min(this.#invokedAt(index), this.#invokedAt(index + 1))
    }
  }

  run(): readonly Call<Op>[] | undefined {
    let from = 0
    while (this.#open > 0) {
      const next = this.#nextFrom(from)
      if (next !== undefined) {
        from = 0
        continue
      }
      const undone = this.#takeBack()
      if (undone === undefined) return undefined
      from = undone + 1
    }
    return this.#path.map(({ index }) => this.#calls[index] as Call<Op>)
  }

  /** Gives a place to the first call from `from` on that may come next and gives the right result. */
  #nextFrom(from: number): number | undefined {
    const before = this.#earliestReturn()
    for (const index of this.#unanswered) {
      if (index >= this.#first) break
      if (index >= from && this.#mayBeNext(index, before) && this.#take(index)) return index
    }
    for (let index = Math.max(from, this.#first); this.#invokedAt(index) <= before; index++) {
      if (this.#mayBeNext(index, before) && this.#take(index)) return index
    }
    return undefined
  }

  #mayBeNext(index: number, before: number): boolean {
    return this.#done[index] !== true && (this.#calls[index] as Call<Op>).invoked <= before
  }

  /** Whoever returned first, of those without a place, must come before everybody invoked after that. */
  #earliestReturn(): number {
    this.#first = this.#firstAnswered(this.#first)
    return this.#earliestReturnFrom(this.#first)
  }

  #earliestReturnFrom(first: number): number {
    let earliest = Number.POSITIVE_INFINITY
    for (let index = first; this.#invokedAt(index) <= earliest; index++) {
      if (this.#done[index] !== true) earliest = Math.min(earliest, (this.#calls[index] as Call<Op>).returned)
    }
    return earliest
  }

  /** No call from `index` on was invoked earlier. After the last: never. */
  #invokedAt(index: number): number {
    return this.#invokedFrom[index] ?? Number.NaN
  }

  #firstAnswered(from: number): number {
    let index = from
    while (this.#done[index] === true || (index < this.#calls.length && this.#calls[index]?.result === undefined))
      index++
    return index
  }

  #take(index: number): boolean {
    const call = this.#calls[index] as Call<Op>
    if (this.#stepsLeft-- <= 0) throw new SearchTooLong('the search for a linearization takes too long')
    const { state, result } = this.#model.step(this.#state, call.op)
    if (call.result !== undefined && call.result !== result) return false
    this.#done[index] = true
    const known = `${this.#doneName()} ${state}`
    if (this.#tried.has(known)) {
      this.#done[index] = false
      return false
    }
    this.#tried.add(known)
    this.#path.push({ index, stateBefore: this.#state })
    this.#state = state
    if (call.result !== undefined) this.#open -= 1
    return true
  }

  #takeBack(): number | undefined {
    const last = this.#path.pop()
    if (last === undefined) return undefined
    this.#done[last.index] = false
    this.#first = Math.min(this.#first, last.index)
    this.#state = last.stateBefore
    if ((this.#calls[last.index] as Call<Op>).result !== undefined) this.#open += 1
    return last.index
  }

  /** Which calls have a place: all that were answered before the first that has none, and the others by name. */
  #doneName(): string {
    const first = this.#firstAnswered(this.#first)
    const others = this.#unanswered.filter((index) => index < first && this.#done[index] === true)
    // A call has a place only if it was invoked before any without one returned: none stands further on than these.
    const before = this.#earliestReturnFrom(first)
    for (let index = first; this.#invokedAt(index) <= before; index++)
      if (this.#done[index] === true) others.push(index)
    return `${first}+${others.join()}`
  }
}
