import { credentials, Metadata } from '@grpc/grpc-js'
import {
  AdminServiceClient,
  type MemberStatus,
  type ResyncStatus,
  type StatusReply,
} from '../../proto/generated/admin-service.ts'
import type { ServerState, StateReply } from '../../proto/generated/control-service.ts'
import type { VolumeRecord } from '../../replication/record.ts'
import { DirectoryClient } from '../../server/directory/client.ts'
import { withControl } from '../control-client.ts'
import type { StateFolder } from '../state-folder.ts'

/** A server that does not answer in that time is frozen or overloaded; the others tell what they know of it. */
const askMs = 1500

export type MemberState = 'in-sync' | 'resyncing' | 'down'

/** What `banyan status --json` prints: these names are promised. null: nobody knows. */
export interface ClusterView {
  readonly volumes: readonly VolumeView[]
  readonly mounts: readonly MountView[]
}

export interface VolumeView {
  readonly name: string
  readonly epoch: number
  readonly primary: string | null
  readonly members: readonly MemberView[]
  /** Of the smallest in-sync member's disk. */
  readonly space: { readonly freeBytes: number; readonly totalBytes: number } | null
  /** Inodes without a name that are still open somewhere. */
  readonly orphans: number
  /** Requests that made a server's code throw. */
  readonly poisoned: number
}

export interface MemberView {
  readonly name: string
  readonly state: MemberState
  readonly pid: number | null
  readonly address: string | null
  readonly applied: number | null
  readonly committed: number | null
  readonly behindEntries: number | null
  readonly behindBytes: number | null
  readonly resync: ResyncView | null
  /** Why there is no process, for a person; empty when there is one. */
  readonly reason: string
}

export interface ResyncView {
  readonly bytesDone: number
  readonly bytesTotal: number
  readonly filesDone: number
  readonly filesTotal: number
  readonly bytesPerSecond: number
}

export interface MountView {
  readonly path: string
  readonly pid: number
  readonly provider: string | null
}

/** Asks `up`, its directory and every server that runs, and puts together what they say. @throws Failure without `up` */
export async function clusterView(state: StateFolder): Promise<ClusterView> {
  const running = await withControl(state, (control) => control.state())
  const [record, replies] = await Promise.all([readRecord(state, running.volume), askAll(running.servers)])
  return assemble(running, record, replies)
}

async function readRecord(state: StateFolder, volume: string): Promise<VolumeRecord | undefined> {
  const directory = new DirectoryClient(`unix:${state.socket('up')}`)
  try {
    return (await directory.readRecord(volume))?.record
  } finally {
    directory.close()
  }
}

async function askAll(servers: readonly ServerState[]): Promise<readonly StatusReply[]> {
  const replies = await Promise.all(servers.filter((server) => server.pid !== 0).map((server) => ask(server.address)))
  return replies.filter((reply) => reply !== undefined)
}

/** undefined: no answer in time. That is no error: status is asked when something is wrong. */
function ask(address: string): Promise<StatusReply | undefined> {
  const client = new AdminServiceClient(address, credentials.createInsecure())
  return new Promise((resolve) => {
    client.status({}, new Metadata(), { deadline: Date.now() + askMs }, (error, reply) => {
      client.close()
      resolve(error === null ? reply : undefined)
    })
  })
}

/** Whoever serves as primary under the greatest epoch knows best; without one, whoever has seen the greatest. */
export function assemble(
  running: StateReply,
  record: VolumeRecord | undefined,
  replies: readonly StatusReply[],
): ClusterView {
  const rank = (reply: StatusReply): number => Number(reply.epoch) * 2 + (reply.role === 'primary' ? 1 : 0)
  const [best] = replies.toSorted((a, b) => rank(b) - rank(a))
  const known = new Map(best?.members.map((member) => [member.name, member]))
  const answers = new Set(replies.map((reply) => reply.node))
  return {
    volumes: [
      {
        name: running.volume,
        epoch: Math.max(record?.epoch ?? 0, Number(best?.epoch ?? 0n)),
        primary: serving(best, record),
        members: running.servers.map((server) => memberView(server, known.get(server.name), answers.has(server.name))),
        space: best?.space
          ? { freeBytes: Number(best.space.freeBytes), totalBytes: Number(best.space.totalBytes) }
          : null,
        orphans: Number(best?.orphans ?? 0n),
        poisoned: replies.reduce((sum, reply) => sum + Number(reply.poisoned), 0),
      },
    ],
    mounts: running.mounts.map(({ path, pid }) => {
      const session = replies.flatMap((reply) => reply.sessions).find((one) => one.pid === pid && one.path === path)
      return { path, pid, provider: session?.provider || null }
    }),
  }
}

/** The primary that there is; the record's counts only while nobody who could know better answers. */
function serving(best: StatusReply | undefined, record: VolumeRecord | undefined): string | null {
  return (best === undefined ? record?.primary : best.primary) || null
}

function memberView(server: ServerState, known: MemberStatus | undefined, answers: boolean): MemberView {
  const runs = server.pid !== 0
  // A primary that has not heard of a member since it became one does not know how far that is.
  const at = runs || (known !== undefined && known.applied > 0n) ? known : undefined
  return {
    name: server.name,
    state: runs ? memberState(known?.state) : 'down',
    pid: runs ? server.pid : null,
    address: server.address || null,
    applied: at ? Number(at.applied) : null,
    committed: known ? Number(known.committed) : null,
    behindEntries: at ? Number(at.behindEntries) : null,
    behindBytes: at ? Number(at.behindBytes) : null,
    resync: resyncView(known?.resync),
    reason: reasonOf(server, { runs, answers }),
  }
}

/** Of a member in the progress of a resync. */
export function memberProgress(member: MemberStatus): Pick<MemberView, 'name' | 'state' | 'resync'> {
  return { name: member.name, state: memberState(member.state), resync: resyncView(member.resync) }
}

function resyncView(resync: ResyncStatus | undefined): ResyncView | null {
  if (resync === undefined) return null
  return {
    bytesDone: Number(resync.bytesDone),
    bytesTotal: Number(resync.bytesTotal),
    filesDone: Number(resync.filesDone),
    filesTotal: Number(resync.filesTotal),
    bytesPerSecond: Number(resync.bytesPerSecond),
  }
}

function reasonOf(server: ServerState, { runs, answers }: { runs: boolean; answers: boolean }): string {
  if (runs) return answers ? '' : `process ${server.pid} gives no answer`
  return server.state === 'stopped' ? 'it was stopped' : server.reason
}

function memberState(state: string | undefined): MemberState {
  return state === 'in-sync' || state === 'resyncing' ? state : 'down'
}
