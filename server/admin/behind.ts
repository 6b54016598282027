import type { NodeId, Seq } from '../../proto/ids.ts'
import type { Ms, Storage } from '../../replication/ports.ts'
import type { Touched } from '../../replication/work.ts'

/** A figure may be so old: to make one, the store looks through what was touched. */
const freshMs = 2000
/** What a key counts for: its value is not looked at. */
const keyBytes = 128

/** How many bytes a member would have to fetch that has nothing after a position. Asked of the primary's store. */
export class Behind {
  readonly #storage: Pick<Storage, 'touchedSince'>
  readonly #now: () => Ms
  readonly #known = new Map<NodeId, { at: Ms; bytes: number }>()

  constructor(storage: Pick<Storage, 'touchedSince'>, now: () => Ms) {
    this.#storage = storage
    this.#now = now
  }

  /** `everything`: what it comes to when nobody knows any more what was touched. */
  async bytes(node: NodeId, since: Seq, everything: number): Promise<number> {
    const known = this.#known.get(node)
    if (known !== undefined && this.#now() - known.at < freshMs) return known.bytes
    const touched = await new Promise<Touched>((resolve) => this.#storage.touchedSince(since, resolve))
    const ranges = touched.ranges.reduce((sum, { length }) => sum + length, 0)
    const bytes = touched.everything ? everything : ranges + touched.keys.length * keyBytes
    this.#known.set(node, { at: this.#now(), bytes })
    return bytes
  }
}
