import type { Incarnation, NodeId } from '../proto/ids.ts'

/** Processes that a supervisor has seen end (S17). Nothing else is evidence of a death. */
export class Deaths {
  readonly #dead = new Map<NodeId, Incarnation[]>()

  add(node: NodeId, incarnation: Incarnation): void {
    const known = this.#dead.get(node) ?? []
    if (known.includes(incarnation)) return
    this.#dead.set(node, [...known, incarnation].slice(-rememberedPerNode))
  }

  has(node: NodeId, incarnation: Incarnation | undefined): boolean {
    return incarnation !== undefined && (this.#dead.get(node)?.includes(incarnation) ?? false)
  }
}

/** Older ones can no longer stand in a record or hold a lease. */
const rememberedPerNode = 64
