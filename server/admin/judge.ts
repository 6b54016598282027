import type { NodeId } from '../../proto/ids.ts'
import type { ItemDigest } from '../../replication/ports.ts'

/** A part of the state in which members differ, or that fails a checksum. */
export interface Difference {
  readonly part: string
  /** Who is wrong; all who hold it, when nobody can say. */
  readonly members: readonly NodeId[]
  readonly decided: boolean
}

/** Whether anything is to be looked at more closely. */
export function allEqual(digests: ReadonlyMap<NodeId, ItemDigest>): boolean {
  const [first, ...others] = [...digests.values()]
  if (first === undefined) return true
  return (
    first.damaged.length === 0 &&
    others.every((other) => other.damaged.length === 0 && Buffer.compare(first.digest, other.digest) === 0)
  )
}

/**
 * Which parts differ, and who is wrong (S15): a copy that fails its own checksum is; of the others the majority of all
 * members is right; without one the copies that pass are, if they agree.
 */
export function differences(digests: ReadonlyMap<NodeId, ItemDigest>): readonly Difference[] {
  const parts = new Map<string, Map<NodeId, string>>()
  for (const [node, { detail }] of digests) {
    for (const [part, digest] of detail) entryOf(parts, part).set(node, digest)
  }
  const damaged = new Map([...digests].map(([node, digest]) => [node, new Set(digest.damaged)]))
  for (const [, names] of damaged) for (const part of names) entryOf(parts, part)
  const nodes = [...digests.keys()]
  return [...parts].flatMap(([part, by]) => {
    const bad = nodes.filter((node) => damaged.get(node)?.has(part))
    const same = new Set(nodes.map((node) => by.get(node))).size === 1
    return same && bad.length === 0 ? [] : [judged(part, nodes, { by, bad })]
  })
}

function judged(
  part: string,
  nodes: readonly NodeId[],
  found: { readonly by: ReadonlyMap<NodeId, string>; readonly bad: readonly NodeId[] },
): Difference {
  const groups = new Map<string | undefined, NodeId[]>()
  for (const node of nodes) {
    if (found.bad.includes(node)) continue
    const digest = found.by.get(node)
    groups.set(digest, [...(groups.get(digest) ?? []), node])
  }
  const sound = [...groups.values()]
  const right = sound.length === 1 ? sound[0] : sound.find((group) => group.length * 2 > nodes.length)
  if (right === undefined) return { part, members: nodes, decided: false }
  return { part, members: nodes.filter((node) => !right.includes(node)), decided: true }
}

function entryOf(parts: Map<string, Map<NodeId, string>>, part: string): Map<NodeId, string> {
  const known = parts.get(part)
  if (known !== undefined) return known
  const made = new Map<NodeId, string>()
  parts.set(part, made)
  return made
}
