import type { Lease } from './lease.ts'

/** Pages of a file that the kernel may have. */
export interface Pages {
  /** Under which all of them were read, or undefined: under none that stands. */
  lease: Lease | undefined
}

interface Given {
  readonly atMs: number
  readonly untilMs: number
}

/** More attributes than this are not given at once: what is here has to be taken back one by one. */
const attributesMax = 65_536
/** The kernel counts from when it has woken up the process that asked; no record is forgotten earlier. */
const slackMs = 1_000

/**
 * What our kernel may answer from without asking, as far as we have told it: attributes and names with a time, pages
 * without one. What is not here it has not got, or not for long enough to matter.
 */
export class KernelHoldings {
  readonly #attributes = new Map<bigint, Given>()
  readonly #names = new Map<bigint, Given>()
  readonly #pages = new Map<bigint, Pages>()
  /** Kept like attributes, but for no time: only what takes attributes back ends them. */
  readonly #acls = new Set<bigint>()
  /** No name given later is here, however the time of names is put. */
  #sweepAtMs = 0

  get pages(): ReadonlyMap<bigint, Pages> {
    return this.#pages
  }

  hasRoom(nowMs: number): boolean {
    if (this.#attributes.size < attributesMax && this.#names.size < attributesMax) return true
    if (nowMs < this.#sweepAtMs) return false
    this.#sweepAtMs = nowMs + 100
    for (const table of [this.#attributes, this.#names]) {
      for (const [ino, { untilMs }] of table) if (untilMs + slackMs < nowMs) table.delete(ino)
    }
    return this.#attributes.size < attributesMax && this.#names.size < attributesMax
  }

  /** @returns whether that is news: it had none */
  gaveAttributes(ino: bigint, nowMs: number, forMs: number): boolean {
    if (forMs === 0) return false
    const known = this.#attributes.get(ino)
    this.#attributes.set(ino, { atMs: nowMs, untilMs: nowMs + forMs })
    return known === undefined
  }

  /** @returns false: there are too many already, so it is to be taken back at once */
  gaveAcl(ino: bigint): boolean {
    if (this.#acls.size >= attributesMax) return false
    this.#acls.add(ino)
    return true
  }

  /** A name in `dir`, or the absence of one. */
  gaveName(dir: bigint, nowMs: number, forMs: number): void {
    if (forMs > 0) this.#names.set(dir, { atMs: nowMs, untilMs: nowMs + forMs })
  }

  gavePages(ino: bigint, lease: Lease | undefined): void {
    const known = this.#pages.get(ino)
    if (known === undefined) this.#pages.set(ino, { lease })
    else if (known.lease !== lease) known.lease = undefined
  }

  hasNames(dirs: Iterable<bigint>, nowMs: number): boolean {
    for (const dir of dirs) {
      const given = this.#names.get(dir)
      if (given !== undefined && nowMs < given.untilMs + slackMs) return true
    }
    return false
  }

  /** All names of all directories are gone. */
  namesGone(): void {
    this.#names.clear()
  }

  /** When its attributes were last given, if the kernel may still have them or ACLs; they are taken back now. */
  takeAttributes(ino: bigint, nowMs: number): number | undefined {
    const given = this.#attributes.get(ino)
    this.#attributes.delete(ino)
    const hadAcl = this.#acls.delete(ino)
    if (given !== undefined && nowMs < given.untilMs + slackMs) return given.atMs
    return hadAcl ? Number.NEGATIVE_INFINITY : undefined
  }

  /** Every inode of which the kernel may have attributes or ACLs. */
  attributes(): bigint[] {
    return [...new Set([...this.#attributes.keys(), ...this.#acls])]
  }

  pagesGone(ino: bigint): void {
    this.#pages.delete(ino)
  }
}
