import type { NodeId } from '../../proto/ids.ts'
import type { Ms } from '../../replication/ports.ts'
import type { MemberStatus } from '../../replication/status.ts'

interface Sample {
  readonly at: Ms
  readonly bytesDone: number
  readonly bytesPerSecond: number
}

/** How fast each resync moves, smoothed over a few seconds. */
export class Rates {
  readonly #last = new Map<NodeId, Sample>()

  /** About once a second. */
  sample(now: Ms, members: readonly MemberStatus[]): void {
    for (const { node, progress } of members) {
      if (progress === undefined) {
        this.#last.delete(node)
        continue
      }
      const last = this.#last.get(node)
      const { bytesDone } = progress
      // A resync that began anew has done less than before.
      if (last === undefined || bytesDone < last.bytesDone)
        this.#last.set(node, { at: now, bytesDone, bytesPerSecond: 0 })
      else if (now > last.at) {
        const present = ((bytesDone - last.bytesDone) * 1000) / (now - last.at)
        const bytesPerSecond = last.bytesPerSecond === 0 ? present : last.bytesPerSecond * 0.6 + present * 0.4
        this.#last.set(node, { at: now, bytesDone, bytesPerSecond })
      }
    }
  }

  bytesPerSecond(node: NodeId): number {
    return Math.round(this.#last.get(node)?.bytesPerSecond ?? 0)
  }
}
