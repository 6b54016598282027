import type { Level } from 'level'
import type { Incarnation, NodeId } from '../../proto/ids.ts'
import { DirectoryRefusal } from './directory.ts'
import { incarnationFromWire, nodeFromWire } from './wire.ts'

/** Remembered per node. Who counts is named in a record, and that is one of the last few incarnations. */
const perNodeMax = 32
/** Nodes remembered. Beyond it a death is refused: the wait for the node's lease does the same, only slower. */
const nodesMax = 1024

const prefix = 'death/'

/** Processes whose end a supervisor saw (S17). Kept on disk: a directory that starts again still knows them. */
export class KnownDeaths {
  /** Oldest first. */
  readonly #byNode = new Map<NodeId, Incarnation[]>()

  static async read(level: Level<string, Uint8Array>): Promise<KnownDeaths> {
    const deaths = new KnownDeaths()
    for await (const [key, value] of level.iterator({ gte: prefix, lt: 'death0' })) {
      const text = new TextDecoder().decode(value)
      deaths.#byNode.set(nodeFromWire(key.slice(prefix.length)), text.split('\n').map(incarnationFromWire))
    }
    return deaths
  }

  has(node: NodeId, incarnation: Incarnation): boolean {
    return this.#byNode.get(node)?.includes(incarnation) ?? false
  }

  *all(): Iterable<readonly [NodeId, Incarnation]> {
    for (const [node, incarnations] of this.#byNode) for (const incarnation of incarnations) yield [node, incarnation]
  }

  async add(level: Level<string, Uint8Array>, node: NodeId, incarnation: Incarnation): Promise<void> {
    if (!this.#byNode.has(node) && this.#byNode.size >= nodesMax) {
      throw new DirectoryRefusal(`deaths of ${nodesMax} nodes are known already`)
    }
    const next = [...(this.#byNode.get(node) ?? []), incarnation].slice(-perNodeMax)
    this.#byNode.set(node, next)
    await level.put(`${prefix}${node}`, new TextEncoder().encode(next.join('\n')), { sync: true })
  }
}
