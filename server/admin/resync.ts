import type { ResyncProgress, ResyncRequest } from '../../proto/generated/admin-service.ts'
import type { Epoch, NodeId } from '../../proto/ids.ts'
import type { Volume } from '../volume.ts'
import { NotPossible, NotPrimary } from './refusals.ts'
import { membersOf } from './status.ts'

const progressMs = 200
/** Members that are down are waited for so long: one may just be starting. */
const downMs = 10_000

/** Starts or follows the resync of members, until all that were asked for are in sync. @throws NotPrimary, NotPossible */
export async function* resync(volume: Volume, { member, full }: ResyncRequest): AsyncGenerator<ResyncProgress, void> {
  mustLead(volume)
  const mirrors = volume.replica.status().members.filter(({ node }) => node !== volume.node)
  const wanted = mirrors.filter(({ node }) => member === '' || node === member).map(({ node }) => node)
  if (wanted.length === 0 && member !== '' && member !== volume.node) {
    throw new NotPossible(`there is no member ${member}`)
  }
  if (full) {
    // One after the other, so that the volume never stands on this member alone.
    for (const node of wanted) {
      yield* inSync(volume, wanted, [node])
      yield* bringOver(volume, wanted, node)
    }
  }
  yield* inSync(volume, wanted, wanted)
  yield { members: await shown(volume, wanted), done: true }
}

async function* bringOver(
  volume: Volume,
  wanted: readonly NodeId[],
  node: NodeId,
): AsyncGenerator<ResyncProgress, void> {
  const back = whenBack(volume, node)
  volume.step(() => volume.replica.resyncFully(node))
  while (!back()) {
    await turn()
    mustLead(volume)
    yield { members: await shown(volume, wanted), done: false }
  }
}

async function* inSync(
  volume: Volume,
  wanted: readonly NodeId[],
  needed: readonly NodeId[],
): AsyncGenerator<ResyncProgress, void> {
  const since = volume.clock.now()
  for (;;) {
    mustLead(volume)
    const missing = volume.replica
      .status()
      .members.filter((one) => needed.includes(one.node) && one.state !== 'in-sync')
    if (missing.length === 0) return
    if (missing.every(({ state }) => state === 'down') && volume.clock.now() - since > downMs) {
      throw new NotPossible(`${missing.map(({ node }) => node).join(', ')} cannot be reached: start it first`)
    }
    yield { members: await shown(volume, wanted), done: false }
    await turn()
  }
}

/**
 * Is a member that was told to fetch something back in the set? The set changes by one epoch when it leaves and by one
 * when it comes back, and both may pass between two looks.
 */
export function whenBack(volume: Volume, node: NodeId): () => boolean {
  const since: Epoch = volume.replica.status().epoch
  let left = false
  return () => {
    const { epoch, members } = volume.replica.status()
    const state = members.find((member) => member.node === node)?.state
    if (state !== 'in-sync') left = true
    return state === 'in-sync' && (left || epoch >= since + 2)
  }
}

async function shown(volume: Volume, wanted: readonly NodeId[]): Promise<ResyncProgress['members']> {
  return (await membersOf(volume)).filter(({ name }) => wanted.some((node) => node === name))
}

/** @throws NotPrimary */
export function mustLead(volume: Volume): void {
  const { replica, leader, node } = volume
  if (replica.primary() !== node || !leader.ready) throw new NotPrimary(replica.primary())
}

export const turn = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, progressMs))
