import type { Advert } from '../../proto/advert.ts'
import type { NodeId } from '../../proto/ids.ts'
import { type RankBy, rank, worthMoving } from './rank.ts'

/** A provider that was lost, or refused, is not tried again for so long, so that the others come first. */
const penaltyMs = 200
/** So long a failure counts: who has not failed, or longer ago, is tried before. Else two that give no sign would hide a third. */
const failureMs = 10_000
/** A better provider must have been better for so long before the session moves to it. */
const moveMs = 3000

/** Who offers the volume, as far as this driver knows, and who is to be tried next. */
export class Providers {
  readonly #by: Pick<RankBy, 'pinned' | 'host'>
  readonly #now: () => number
  /** By node: the last advert seen, also of those no longer advertised. They are tried last (S25). */
  readonly #known = new Map<NodeId, Advert>()
  #advertised: ReadonlySet<NodeId> = new Set()
  readonly #failedAt = new Map<NodeId, number>()
  readonly #roundTripMs = new Map<NodeId, number>()
  #better: { readonly node: NodeId; readonly since: number } | undefined

  constructor(by: Pick<RankBy, 'pinned' | 'host'>, now: () => number) {
    this.#by = by
    this.#now = now
  }

  onAdverts(adverts: readonly Advert[]): void {
    for (const advert of adverts) {
      const before = this.#known.get(advert.node)
      if (before?.incarnation !== advert.incarnation) this.#failedAt.delete(advert.node)
      this.#known.set(advert.node, advert)
    }
    this.#advertised = new Set(adverts.map(({ node }) => node))
  }

  measured(node: NodeId, roundTripMs: number): void {
    this.#roundTripMs.set(node, roundTripMs)
  }

  failed(node: NodeId): void {
    this.#failedAt.set(node, this.#now())
  }

  /** Whom to try now; undefined: nobody at present. */
  next(): Advert | undefined {
    return this.#ranked()
      .filter((advert) => this.#failedAgo(advert) >= penaltyMs)
      .toSorted((a, b) => this.#failedAgo(b) - this.#failedAgo(a))[0]
  }

  /** Whose channels to keep ready besides the one in use. */
  spare(used: NodeId): Advert | undefined {
    return this.#ranked().find(({ node }) => node !== used)
  }

  /**
   * Somebody who has been clearly better than the one in use for a while. One that says it is cut off, and whose advert has
   * gone, serves nobody: then the directory that this driver sees is that of the other side. Whoever is named here is also
   * the next to be tried, or the session would come back to where it is, and lose its leases, at every tick.
   */
  toMoveTo(used: NodeId, says: { readonly cutOff: boolean }): Advert | undefined {
    const known = this.#known.get(used)
    const best = this.#ranked()[0]
    if (known === undefined || best === undefined || best.node === used) return this.#forget()
    const from: Advert = says.cutOff && !this.#advertised.has(used) ? { ...known, role: 'none' } : known
    if (!this.#advertised.has(best.node) || !worthMoving(best, from, this.#rankBy())) return this.#forget()
    if (from.role !== 'none' && this.#failedAgo(best) < failureMs) return this.#forget()
    if (this.#better?.node !== best.node) this.#better = { node: best.node, since: this.#now() }
    if (this.#now() - this.#better.since < moveMs) return undefined
    this.#failedAt.delete(best.node)
    this.#forget()
    return best
  }

  #failedAgo({ node }: Advert): number {
    return Math.min(this.#now() - (this.#failedAt.get(node) ?? -failureMs), failureMs)
  }

  #forget(): undefined {
    this.#better = undefined
  }

  #ranked(): readonly Advert[] {
    const all = rank([...this.#known.values()], this.#rankBy())
    return [
      ...all.filter(({ node }) => this.#advertised.has(node)),
      ...all.filter(({ node }) => !this.#advertised.has(node)),
    ]
  }

  #rankBy(): RankBy {
    return { ...this.#by, roundTripMs: (node) => this.#roundTripMs.get(node) }
  }
}
