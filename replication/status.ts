import type { Epoch, NodeId, Seq } from '../proto/ids.ts'
import type { Core } from './core.ts'
import type { Follower } from './follower.ts'
import type { Member } from './member.ts'
import type { Space } from './ports.ts'
import type { Primary } from './primary.ts'
import type { Progress } from './work.ts'

export type MemberState = 'in-sync' | 'resyncing' | 'down'

/** What the primary knows of a member. */
export interface MemberStatus {
  readonly node: NodeId
  readonly state: MemberState
  readonly acked: Seq
  readonly applied: Seq
  readonly progress: Progress | undefined
  readonly space: Space | undefined
}

/** What a replica would tell an operator. */
export interface ReplicaStatus {
  readonly role: 'primary' | 'mirror' | 'resyncing' | 'none'
  readonly epoch: Epoch
  readonly last: Seq
  readonly committed: Seq
  readonly progress: Progress | undefined
  /** On the primary: all members, itself included. */
  readonly members: readonly MemberStatus[]
}

export function roleOf(core: Core, primary: Primary | undefined, follower: Follower): ReplicaStatus['role'] {
  if (primary !== undefined) return 'primary'
  if (!follower.attached) return 'none'
  return core.ports.storage.resync() === undefined ? 'mirror' : 'resyncing'
}

export function statusOf(core: Core, primary: Primary | undefined, follower: Follower): ReplicaStatus {
  const { journal, ports, self } = core
  const mark = ports.storage.resync()
  const { epoch, committed, last } = journal
  const common = { epoch, committed, last: last.seq, progress: mark?.progress }
  if (primary === undefined) {
    return { role: roleOf(core, primary, follower), ...common, members: [] }
  }
  const space = ports.storage.space()
  const own: MemberStatus = {
    node: self.node,
    state: 'in-sync',
    acked: last.seq,
    applied: committed,
    progress: undefined,
    space,
  }
  const others = [...primary.members.values()].map((member) => memberStatus(core, member))
  return { role: 'primary', ...common, members: [own, ...others] }
}

function memberStatus(core: Core, member: Member): MemberStatus {
  const { node, acked, applied, progress, space } = member
  return { node, state: stateOf(core, member), acked, applied, progress, space }
}

function stateOf(core: Core, member: Member): MemberState {
  if (core.ports.clock.now() - member.lastHeard > core.timing.silence || member.mode === 'absent') return 'down'
  return core.record()?.record.inSync.includes(member.node) ? 'in-sync' : 'resyncing'
}
