import { type PageRange, pagesBesides, pagesOf } from './page-ranges.ts'

/** Tells the kernel to drop pages; see Notifier. */
export type ForgetPages = (ino: bigint, offset: bigint, length: bigint) => Promise<void>

interface Drop {
  done: Promise<void>
  /** Asked for once more while it ran: what it has passed by may have been filled since. */
  again: boolean
  /** Pages given to the kernel while it ran, perhaps behind its back. */
  readonly given: PageRange[]
}

/**
 * Makes the kernel drop the pages of files, while reads go on. Dropping waits for reads of the same pages that are not
 * answered; those are answered meanwhile, and what was given to the kernel since it began is dropped after it.
 */
export class PageDropper {
  readonly #forget: ForgetPages
  readonly #dropping = new Map<bigint, Drop>()
  /** Reads that are not answered, by inode. */
  readonly #reading = new Map<bigint, Set<PageRange>>()
  /** By inode: tries once more, now that another read is known. */
  readonly #evading = new Map<bigint, () => void>()

  constructor(forget: ForgetPages) {
    this.#forget = forget
  }

  isDropping(ino: bigint): boolean {
    return this.#dropping.has(ino)
  }

  /** Reads of it are not answered. */
  isReading(ino: bigint): boolean {
    return this.#reading.has(ino)
  }

  readBegan(ino: bigint, offset: bigint, length: number): PageRange {
    const range = pagesOf(offset, length)
    const reading = this.#reading.get(ino)
    if (reading === undefined) this.#reading.set(ino, new Set([range]))
    else reading.add(range)
    this.#evading.get(ino)?.()
    return range
  }

  /** The kernel has it, or never will. */
  readEnded(ino: bigint, range: PageRange): void {
    const reading = this.#reading.get(ino)
    reading?.delete(range)
    if (reading?.size === 0) this.#reading.delete(ino)
    this.#dropping.get(ino)?.given.push(range)
  }

  /** Resolves when no page is left that was there when it was called. Reads must be answered meanwhile. */
  drop(ino: bigint): Promise<void> {
    const known = this.#dropping.get(ino)
    if (known !== undefined) {
      known.again = true
      return known.done
    }
    const drop: Drop = { done: Promise.resolve(), again: true, given: [] }
    this.#dropping.set(ino, drop)
    drop.done = this.#run(ino, drop)
    return drop.done
  }

  /**
   * The same while no read can be answered: passes by the pages of reads that are not, which hold nothing old. Resolves
   * when the others are gone.
   */
  async dropBesidesReads(ino: bigint): Promise<void> {
    await new Promise<void>((resolve) => {
      const pass = () => {
        const free = pagesBesides(this.#reading.get(ino) ?? [])
        void Promise.all(free.map(({ from, to }) => this.#forget(ino, from, to === undefined ? 0n : to - from))).then(
          () => resolve(),
        )
      }
      this.#evading.set(ino, pass)
      pass()
    })
    this.#evading.delete(ino)
  }

  async #run(ino: bigint, drop: Drop): Promise<void> {
    while (drop.again || drop.given.length > 0) {
      const given = drop.given.splice(0)
      if (drop.again) {
        drop.again = false
        await this.#forget(ino, 0n, 0n)
      } else {
        await Promise.all(given.map(({ from, to }) => this.#forget(ino, from, to - from)))
      }
    }
    this.#dropping.delete(ino)
  }
}
