import type { LeaseStatus, MemberStatus, SessionStatus, StatusReply } from '../../proto/generated/admin-service.ts'
import type * as replication from '../../replication/status.ts'
import type { Progress } from '../../replication/work.ts'
import { cutOffText } from '../session/attachment.ts'
import { prefixes, sessionKey } from '../store/keys.ts'
import { decodeSession } from '../store/session-records.ts'
import type { Volume } from '../volume.ts'

/** A mount that was not heard of for so long is not shown. */
const shownMs = 5000
/** Counted no further. */
const orphansMax = 10_000

/** This server's view of its volume; of the other members only the primary knows. */
export async function statusOf(volume: Volume): Promise<StatusReply> {
  const { replica, store } = volume
  const status = replica.status()
  const orphans = await store.scan(prefixes.orphan, prefixes.orphan, orphansMax)
  const { freeBytes, totalBytes } = status.role === 'primary' ? volume.space.get() : store.space()
  return {
    volume: volume.name,
    epoch: BigInt(status.epoch),
    primary: replica.primary() ?? '',
    node: volume.node,
    role: status.role,
    serving: replica.mayRead(),
    members: await membersOf(volume),
    sessions: status.role === 'primary' ? sessionsOfVolume(volume) : sessionsHere(volume),
    space: { freeBytes: BigInt(freeBytes), totalBytes: BigInt(totalBytes) },
    orphans: BigInt(orphans.length),
    poisoned: BigInt(volume.executor.poisoned),
    cutOff: cutOffText(volume.partition.cutOff),
    leases: leasesHere(volume),
  }
}

/** Of the primary: all members; of another: itself. */
export async function membersOf(volume: Volume): Promise<MemberStatus[]> {
  const status = volume.replica.status()
  if (status.role !== 'primary') return [ownStatus(volume, status)]
  return await Promise.all(status.members.map((member) => memberStatus(volume, status, member)))
}

async function memberStatus(
  volume: Volume,
  status: replication.ReplicaStatus,
  member: replication.MemberStatus,
): Promise<MemberStatus> {
  const { node, state, progress, space } = member
  const itself = node === volume.node
  const behindEntries = itself ? 0 : Math.max(status.last - member.acked, 0)
  return {
    name: node,
    state,
    pid: itself ? process.pid : 0,
    address: itself ? volume.address : (volume.peers.addressOf(node) ?? ''),
    incarnation: volume.record?.record.incarnations[node] ?? '',
    primary: itself,
    applied: BigInt(member.applied),
    committed: BigInt(status.committed),
    behindEntries: BigInt(behindEntries),
    behindBytes: BigInt(await bytesBehind(volume, member, behindEntries)),
    resync: state === 'resyncing' && progress !== undefined ? resyncStatus(volume, member, progress) : undefined,
    space: space && { freeBytes: BigInt(space.freeBytes), totalBytes: BigInt(space.totalBytes) },
  }
}

async function bytesBehind(volume: Volume, member: replication.MemberStatus, entries: number): Promise<number> {
  const { node, state, progress, acked } = member
  if (state === 'resyncing' && progress !== undefined) return Math.max(progress.bytesTotal - progress.bytesDone, 0)
  if (state === 'in-sync' || entries === 0) return 0
  const { freeBytes, totalBytes } = volume.store.space()
  return await volume.behind.bytes(node, acked, totalBytes - freeBytes)
}

function resyncStatus(
  volume: Volume,
  member: replication.MemberStatus,
  progress: Progress,
): NonNullable<MemberStatus['resync']> {
  return {
    bytesDone: BigInt(progress.bytesDone),
    bytesTotal: BigInt(progress.bytesTotal),
    filesDone: BigInt(progress.itemsDone),
    filesTotal: BigInt(progress.itemsTotal),
    bytesPerSecond: BigInt(volume.rates.bytesPerSecond(member.node)),
  }
}

function ownStatus(volume: Volume, status: replication.ReplicaStatus): MemberStatus {
  const states = { primary: 'in-sync', mirror: 'in-sync', resyncing: 'resyncing', none: 'down' } as const
  const { freeBytes, totalBytes } = volume.store.space()
  return {
    name: volume.node,
    state: states[status.role],
    pid: process.pid,
    address: volume.address,
    incarnation: volume.incarnation,
    primary: false,
    applied: BigInt(status.committed),
    committed: BigInt(status.committed),
    behindEntries: 0n,
    behindBytes: 0n,
    resync: undefined,
    space: { freeBytes: BigInt(freeBytes), totalBytes: BigInt(totalBytes) },
  }
}

function sessionsOfVolume(volume: Volume): SessionStatus[] {
  const since = volume.clock.now() - shownMs
  const sessions: SessionStatus[] = []
  for (const { session, record, lastHeard, provider } of volume.sessions.all()) {
    if (provider === undefined || lastHeard < since) continue
    const { host, pid, path } = record
    sessions.push({ session, host, pid, path, provider, ...countsOf(volume, session) })
  }
  return sessions
}

function sessionsHere(volume: Volume): SessionStatus[] {
  return volume.attachments.alive().flatMap(({ session }) => {
    const value = volume.store.committed.get(sessionKey(session))
    if (value === undefined) return []
    const { host, pid, path } = decodeSession(value)
    return [{ session, host, pid, path, provider: volume.node, ...countsOf(volume, session) }]
  })
}

function countsOf(volume: Volume, session: bigint): Pick<SessionStatus, 'heartbeats' | 'leases' | 'requests'> {
  const attachment = volume.attachments.of(session)
  const { requests, heartbeats } = attachment?.counts ?? { requests: 0, heartbeats: 0 }
  return { requests: BigInt(requests), heartbeats: BigInt(heartbeats), leases: BigInt(attachment?.leases ?? 0) }
}

function leasesHere(volume: Volume): LeaseStatus {
  const { holders, leases, recalls, ranOut } = volume.leases.leases.counts()
  return { holders: BigInt(holders), leases: BigInt(leases), recalls: BigInt(recalls), ranOut: BigInt(ranOut) }
}
