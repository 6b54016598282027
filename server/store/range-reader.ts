import type { Key } from '../../proto/ids.ts'
import type { LocalChange } from './sums.ts'

/** [from, to); `to` undefined: to the end. */
export interface KeySpan {
  readonly from: Key
  readonly to: Key | undefined
}

/** What this needs of an iterator of level. */
interface Source {
  nextv(count: number): Promise<[Buffer, Uint8Array][]>
  close(): Promise<void>
}

const sourceCount = 1000

/** Keys of a span with their values, in order: what an iterator finds, and over it what had changed. */
export class RangeReader {
  readonly #changed: readonly LocalChange[]
  readonly #source: Source
  #changedAt = 0
  #found: [Buffer, Uint8Array][] = []
  #foundAt = 0
  #exhausted = false

  /** `changed` is sorted by key. Both are of one moment. */
  constructor(changed: readonly LocalChange[], source: Source) {
    this.#changed = changed
    this.#source = source
  }

  /** The next keys; fewer than `count` only at the end. */
  async read(count: number): Promise<[Key, Uint8Array][]> {
    const result: [Key, Uint8Array][] = []
    while (result.length < count) {
      if (this.#foundAt === this.#found.length && !this.#exhausted) await this.#fetch(count - result.length)
      const next = this.#next()
      if (next === undefined) break
      if (next[1] !== undefined) result.push([next[0], next[1]])
    }
    return result
  }

  async close(): Promise<void> {
    await this.#source.close()
  }

  async #fetch(count: number): Promise<void> {
    this.#found = await this.#source.nextv(Math.min(count, sourceCount))
    this.#foundAt = 0
    if (this.#found.length === 0) this.#exhausted = true
  }

  #next(): LocalChange | undefined {
    const changed = this.#changed[this.#changedAt]
    const found = this.#found[this.#foundAt]
    if (found === undefined) {
      if (changed !== undefined) this.#changedAt++
      return changed
    }
    const key = found[0].toString('latin1') as Key
    if (changed !== undefined && changed[0] <= key) {
      this.#changedAt++
      if (changed[0] === key) this.#foundAt++
      return changed
    }
    this.#foundAt++
    return [key, found[1]]
  }
}
