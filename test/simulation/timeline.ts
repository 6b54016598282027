interface Planned {
  readonly at: number
  readonly order: number
  readonly run: () => void
}

/** Virtual time: a queue of what happens when. Things planned for one moment happen in the order they were planned. */
export class Timeline {
  readonly #heap: Planned[] = []
  #order = 0
  #now = 0

  /** True time in ms, which no host of the simulation can see. */
  get now(): number {
    return this.#now
  }

  after(delayMs: number, run: () => void): void {
    const heap = this.#heap
    const planned = { at: this.#now + Math.max(0, delayMs), order: this.#order++, run }
    let at = heap.push(planned) - 1
    while (at > 0) {
      const parent = (at - 1) >> 1
      const above = heap[parent] as Planned
      if (isBefore(above, planned)) break
      heap[at] = above
      at = parent
    }
    heap[at] = planned
  }

  /** Lets the next thing happen; false when nothing is planned. */
  step(): boolean {
    const first = this.#heap[0]
    const last = this.#heap.pop()
    if (first === undefined || last === undefined) return false
    if (this.#heap.length > 0) this.#sink(last)
    this.#now = first.at
    first.run()
    return true
  }

  #sink(planned: Planned): void {
    const heap = this.#heap
    let at = 0
    for (;;) {
      let child = 2 * at + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && isBefore(heap[child + 1] as Planned, heap[child] as Planned)) child++
      if (isBefore(planned, heap[child] as Planned)) break
      heap[at] = heap[child] as Planned
      at = child
    }
    heap[at] = planned
  }
}

function isBefore(a: Planned, b: Planned): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order)
}
