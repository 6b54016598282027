import type { Advert } from '../../proto/advert.ts'
import type { NodeId } from '../../proto/ids.ts'
import { type RankBy, rank, worthMoving } from './rank.ts'

/** A provider that was lost, or refused, is not tried again for so long, so that the others come first. */
const penaltyMs = 200
/** A better provider must have been better for so long before the session moves to it. */
const moveMs = 3000

/** Who offers the volume, as far as this driver knows, and who is to be tried next. */
export class Providers {
  readonly #by: Pick<RankBy, 'pinned' | 'host'>
  readonly #now: () => number
  /** By node: the last advert seen, also of those no longer advertised. They are tried last (S25). */
  readonly #known = new Map<NodeId, Advert>()
  #advertised: ReadonlySet<NodeId> = new Set()
  readonly #notBefore = new Map<NodeId, number>()
  readonly #roundTripMs = new Map<NodeId, number>()
  #better: { readonly node: NodeId; readonly since: number } | undefined

  constructor(by: Pick<RankBy, 'pinned' | 'host'>, now: () => number) {
    this.#by = by
    this.#now = now
  }

  onAdverts(adverts: readonly Advert[]): void {
    for (const advert of adverts) {
      const before = this.#known.get(advert.node)
      if (before?.incarnation !== advert.incarnation) this.#notBefore.delete(advert.node)
      this.#known.set(advert.node, advert)
    }
    this.#advertised = new Set(adverts.map(({ node }) => node))
  }

  measured(node: NodeId, roundTripMs: number): void {
    this.#roundTripMs.set(node, roundTripMs)
  }

  failed(node: NodeId): void {
    this.#notBefore.set(node, this.#now() + penaltyMs)
  }

  /** Whom to try now; undefined: nobody at present. */
  next(): Advert | undefined {
    const now = this.#now()
    return this.#ranked().find(({ node }) => (this.#notBefore.get(node) ?? 0) <= now)
  }

  /** Whose channels to keep ready besides the one in use. */
  spare(used: NodeId): Advert | undefined {
    return this.#ranked().find(({ node }) => node !== used)
  }

  /** Somebody who has been clearly better than the one in use for a while. */
  toMoveTo(used: NodeId): Advert | undefined {
    const from = this.#known.get(used)
    const best = this.#ranked()[0]
    if (from === undefined || best === undefined || best.node === used) return this.#forget()
    if (!this.#advertised.has(best.node) || !worthMoving(best, from, this.#rankBy())) return this.#forget()
    if (this.#better?.node !== best.node) this.#better = { node: best.node, since: this.#now() }
    return this.#now() - this.#better.since >= moveMs ? best : undefined
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
