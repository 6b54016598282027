import type { DirectoryEntry } from '../../proto/generated/file-service.ts'

/** More than this is not kept of one directory. */
export const listingMax = 20_000

/** The part at the front of a directory's listing that answers have brought so far, without gaps. */
export class CachedListing {
  readonly #entries: DirectoryEntry[] = []
  /** By cookie: where the entries after it begin. */
  readonly #after = new Map<bigint, number>([[0n, 0]])
  #complete = false
  readonly parent: bigint

  constructor(parent: bigint) {
    this.parent = parent
  }

  get size(): number {
    return this.#entries.length
  }

  get complete(): boolean {
    return this.#complete
  }

  /**
   * What an answer for `cookie` said. What does not continue what is here is passed over.
   *
   * @returns false: the directory is too large to be kept
   */
  add(cookie: bigint, entries: readonly DirectoryEntry[], end: boolean): boolean {
    const at = this.#after.get(cookie)
    if (at === undefined || this.#complete) return true
    const known = this.#entries.length - at
    for (const entry of entries.slice(known)) {
      this.#entries.push({ ...entry, attributes: undefined })
      this.#after.set(entry.cookie, this.#entries.length)
    }
    if (end && entries.length >= known) this.#complete = true
    return this.#entries.length <= listingMax
  }

  /** At most `count` entries after `cookie`; undefined: not known. Its entries are not to be changed. */
  after(cookie: bigint, count: number): { entries: readonly DirectoryEntry[]; end: boolean } | undefined {
    const at = this.#after.get(cookie)
    if (at === undefined) return undefined
    const entries = this.#entries.slice(at, at + count)
    const end = this.#complete && at + entries.length === this.#entries.length
    return entries.length === 0 && !end ? undefined : { entries, end }
  }
}
