import type { NodeId } from '../../proto/ids.ts'
import {
  drainSet,
  minInSyncSet,
  mirrorAdded,
  mirrorRemoved,
  type OperatorChange,
} from '../../replication/operator-changes.ts'
import type { Versioned, VolumeRecord } from '../../replication/record.ts'
import type { SimDirectory } from './directory.ts'
import type { Prng } from './random.ts'
import type { Trace } from './trace.ts'

export const operatorKinds = ['addMirror', 'removeMirror', 'drain', 'setMinInSync'] as const
export type OperatorKind = (typeof operatorKinds)[number]

/** Somebody who changes the record by hand, from what was true a moment ago, while members do the same. */
export class Operator {
  readonly #directory: SimDirectory
  readonly #random: Prng
  readonly #trace: Trace
  readonly #nodes: readonly NodeId[]
  readonly #minInSync: number
  #count = 0

  constructor(how: {
    readonly directory: SimDirectory
    readonly random: Prng
    readonly trace: Trace
    readonly nodes: readonly NodeId[]
    readonly minInSync: number
  }) {
    this.#directory = how.directory
    this.#random = how.random
    this.#trace = how.trace
    this.#nodes = how.nodes
    this.#minInSync = how.minInSync
  }

  meddle(kind: OperatorKind): void {
    const seen = this.#directory.current
    const node = this.#random.pick(this.#nodes)
    this.#try(kind, seen, this.#wish(kind, seen.record, node))
  }

  /** That node is to be out of the way, or no longer. */
  drain(node: NodeId, drained: 'begin' | 'end'): void {
    const seen = this.#directory.current
    this.#try('drain', seen, drainSet(seen.record, node, drained))
  }

  /** One step towards how it was in the beginning; called again and again. */
  restore(): void {
    const seen = this.#directory.current
    const { drained, members, minInSync } = seen.record
    const [missing] = this.#nodes.filter((node) => !members.includes(node))
    const [still] = drained
    if (missing !== undefined) this.#try('restore', seen, mirrorAdded(seen.record, missing))
    else if (still !== undefined) this.#try('restore', seen, drainSet(seen.record, still, 'end'))
    else if (minInSync !== this.#minInSync) this.#try('restore', seen, minInSyncSet(seen.record, this.#minInSync))
  }

  #wish(kind: OperatorKind, record: VolumeRecord, node: NodeId): OperatorChange {
    switch (kind) {
      case 'addMirror': {
        const missing = this.#nodes.filter((other) => !record.members.includes(other))
        return mirrorAdded(record, missing.length === 0 ? node : this.#random.pick(missing))
      }
      case 'removeMirror':
        return mirrorRemoved(record, this.#random.chance(0.3) ? (record.primary ?? node) : node)
      case 'drain':
        return drainSet(record, node, record.drained.includes(node) ? 'end' : 'begin')
      case 'setMinInSync':
        return minInSyncSet(record, 1 + this.#random.below(this.#nodes.length))
    }
  }

  #try(why: string, seen: Versioned, change: OperatorChange): void {
    if (change.kind === 'refused') return
    this.#count += 1
    const changedBy = `operator/${this.#count}`
    this.#trace.add(() => `OPERATOR: ${why} ${JSON.stringify(change.record)}`)
    const client = { name: 'operator', onRecord: () => {} }
    this.#directory.swap(client, seen.version, { ...change.record, changedBy })
  }
}

/** What was done by hand. */
export function* operatorEvents(before: VolumeRecord, after: VolumeRecord): Generator<string> {
  const more = (a: readonly NodeId[], b: readonly NodeId[]): boolean => b.some((node) => !a.includes(node))
  if (more(before.members, after.members)) yield 'operator.added'
  if (more(after.members, before.members)) yield 'operator.removed'
  if (more(before.drained, after.drained)) yield 'operator.drained'
  if (before.minInSync !== after.minInSync) yield 'operator.min-in-sync'
}
