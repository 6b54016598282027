import type { Advert } from '../../proto/advert.ts'
import type { NodeId } from '../../proto/ids.ts'

export interface RankBy {
  /** The only provider that may be used. */
  readonly pinned: NodeId | undefined
  /** The machine of this driver. */
  readonly host: string
  /** Measured, ms; undefined: never. */
  roundTripMs(node: NodeId): number | undefined
}

/** Loads up to about so many requests under way count as equal: each step doubles. */
const lightLoad = 32
/** Round trips that differ by less than about so much count as equal, ms. */
const nearMs = 2

/**
 * Providers, the best first: same host, then nearest, then least loaded; at equality the primary, from which changes
 * travel least, then by name, so that the order stands still.
 */
export function rank(adverts: readonly Advert[], by: RankBy): readonly Advert[] {
  const usable = by.pinned === undefined ? adverts : adverts.filter(({ node }) => node === by.pinned)
  return [...usable].sort((a, b) => {
    const [left, right] = [places(a, by), places(b, by)]
    for (const [index, place] of left.entries()) {
      const difference = place - (right[index] ?? 0)
      if (difference !== 0) return difference
    }
    return a.node < b.node ? -1 : a.node > b.node ? 1 : 0
  })
}

/** Is the first so much better that moving a session there pays? Loads and distances change all the time. */
export function worthMoving(to: Advert, from: Advert, by: RankBy): boolean {
  const serves = Number(from.role === 'none') - Number(to.role === 'none')
  if (serves !== 0) return serves > 0
  const near = Number(to.host === by.host) - Number(from.host === by.host)
  if (near !== 0) return near > 0
  return to.host === from.host && to.role === 'primary' && from.role === 'mirror'
}

/** Smaller is better; compared from left to right. */
function places(advert: Advert, by: RankBy): readonly number[] {
  const distance = advert.host === by.host ? 0 : 1 + Math.round((by.roundTripMs(advert.node) ?? 0) / nearMs)
  const load = Math.floor(Math.log2(1 + advert.load / lightLoad))
  return [advert.role === 'none' ? 1 : 0, distance, load, advert.role === 'primary' ? 0 : 1]
}
