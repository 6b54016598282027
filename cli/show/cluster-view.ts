import {
  AdminServiceClient,
  type MemberStatus,
  type ResyncStatus,
  type StatusReply,
} from '../../proto/generated/admin-service.ts'
import type { MountState, ServerState } from '../../proto/generated/control-service.ts'
import { volumeMetadata } from '../../proto/volume-metadata.ts'
import type { VolumeRecord } from '../../replication/record.ts'
import { withControl } from '../control-client.ts'
import { Failure } from '../failure.ts'
import type { Host } from '../host.ts'
import { placeOf } from '../volume.ts'
import { type Known, lookUpAll } from './look-up.ts'

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
  /** Where the tree has it; null: nowhere. */
  readonly at: string | null
  readonly epoch: number
  readonly primary: string | null
  readonly members: readonly MemberView[]
  /** Of the smallest in-sync member's disk. */
  readonly space: { readonly freeBytes: number; readonly totalBytes: number } | null
  /** Inodes without a name that are still open somewhere. */
  readonly orphans: number
  /** Requests that made a server's code throw. */
  readonly poisoned: number
  /** A server here has neither directory nor primary, and does what on-partition says; null: none. */
  readonly cutOff: 'stop' | 'read' | null
}

export interface MemberView {
  readonly name: string
  readonly state: MemberState
  /** It is known to have a process. */
  readonly runs: boolean
  /** This host's supervisor has its process, or could start one. */
  readonly here: boolean
  /** null: there is none, or it is another host's. */
  readonly pid: number | null
  readonly address: string | null
  readonly applied: number | null
  readonly committed: number | null
  readonly behindEntries: number | null
  readonly behindBytes: number | null
  readonly resync: ResyncView | null
  /** Why there is no process, for a person; empty when there is one. */
  readonly reason: string
  /** It leads nothing and answers no client, as an operator wishes: "banyan node drain". */
  readonly drained: boolean
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

/** What is known of one volume. */
export interface Asked {
  readonly name: string
  readonly servers: readonly ServerState[]
  readonly record: VolumeRecord | undefined
  readonly replies: readonly StatusReply[]
}

/** Asks the supervisor here, the directory and every server, and puts together what they say. @throws Failure */
export async function clusterView(host: Host): Promise<ClusterView> {
  const present = await withControl(host, (control) => control.state())
  const known = await lookUpAll(host, present.volume)
  const volumes = [...known].map(async ([name, of]): Promise<Asked> => {
    const here = present.servers.filter((server) => isShownWith(name, server, { known, first: present.volume }))
    const servers = [...here, ...elsewhere(present.servers, of)]
    return { name, servers, record: of.record, replies: await askAll(host, name, servers) }
  })
  return assemble(await Promise.all(volumes), present.mounts, host.name)
}

/** @throws Failure when there is no such volume */
export function volumeNamed(all: readonly VolumeView[], name: string): VolumeView {
  const found = all.find((volume) => volume.name === name)
  if (found !== undefined) return found
  throw new Failure(`there is no volume ${name}`, {
    meaning: 'Nothing was changed',
    remedy: `Name one of ${all.map((volume) => volume.name).join(', ')}`,
  })
}

/** A server is shown with the volumes that it has a part in; one that has none, with the first. */
function isShownWith(
  volume: string,
  { name }: ServerState,
  { known, first }: { readonly known: ReadonlyMap<string, Known>; readonly first: string },
): boolean {
  const hasPart = (of: VolumeRecord | undefined): boolean =>
    [...(of?.members ?? []), ...(of?.inSync ?? [])].some((node) => node === name)
  if (hasPart(known.get(volume)?.record)) return true
  return volume === first && ![...known.values()].some(({ record }) => hasPart(record))
}

/** Members whose processes are other hosts'. */
function elsewhere(here: readonly ServerState[], { adverts, record }: Known): readonly ServerState[] {
  const names = (record?.members ?? []).filter((name) => !here.some((server) => server.name === name))
  return names.map((name) => {
    const advert = adverts.find(({ node }) => node === name)
    return advert === undefined
      ? { name, state: 'unheard', pid: 0, incarnation: '', address: '', reason: 'nothing is heard of its host' }
      : { name, state: 'running', pid: 0, incarnation: advert.incarnation, address: advert.address, reason: '' }
  })
}

async function askAll(host: Host, volume: string, servers: readonly ServerState[]): Promise<readonly StatusReply[]> {
  const replies = await Promise.all(servers.filter(hasProcess).map((server) => ask(host, volume, server.address)))
  return replies.filter((reply) => reply !== undefined)
}

/** undefined: no answer in time. That is no error: status is asked when something is wrong. */
function ask({ dial }: Host, volume: string, address: string): Promise<StatusReply | undefined> {
  const { target, credentials, options } = dial(address)
  const client = new AdminServiceClient(target, credentials, options)
  return new Promise((resolve) => {
    client.status({}, volumeMetadata(volume), { deadline: Date.now() + askMs }, (error, reply) => {
      client.close()
      resolve(error === null ? reply : undefined)
    })
  })
}

/** The first volume is the root of the tree. */
export function assemble(volumes: readonly Asked[], mounts: readonly MountState[], host: string): ClusterView {
  const sessions = volumes.flatMap(({ replies }) => replies.flatMap((reply) => reply.sessions))
  return {
    volumes: volumes.map((volume) => volumeView(volume, volumes[0]?.record)),
    mounts: mounts.map(({ path, pid }) => {
      // Of a process that keeps the mount in place of another one its driver's sessions do not know.
      const here = sessions.filter((one) => one.host === host && one.path === path)
      const session = here.find((one) => one.pid === pid) ?? here.find((one) => one.provider !== '')
      return { path, pid, provider: session?.provider || null }
    }),
  }
}

/** Whoever serves as primary under the greatest epoch knows best; without one, whoever has seen the greatest. */
function volumeView({ name, record, replies, servers }: Asked, root: VolumeRecord | undefined): VolumeView {
  const rank = (reply: StatusReply): number => Number(reply.epoch) * 2 + (reply.role === 'primary' ? 1 : 0)
  const [best] = replies.toSorted((a, b) => rank(b) - rank(a))
  const known = new Map(best?.members.map((member) => [member.name, member]))
  const answers = new Set(replies.map((reply) => reply.node))
  return {
    name,
    at: placeOf(name, root) ?? null,
    epoch: Math.max(record?.epoch ?? 0, Number(best?.epoch ?? 0n)),
    primary: serving(best, record),
    members: servers.map((server) => ({
      ...memberView(server, known.get(server.name), answers.has(server.name)),
      drained: record?.drained.some((node) => node === server.name) ?? false,
    })),
    space: best?.space ? { freeBytes: Number(best.space.freeBytes), totalBytes: Number(best.space.totalBytes) } : null,
    orphans: Number(best?.orphans ?? 0n),
    cutOff: cutOffOf(replies),
    poisoned: replies.reduce((sum, reply) => sum + Number(reply.poisoned), 0),
  }
}

/** What the worst off of those who answer does. */
function cutOffOf(replies: readonly StatusReply[]): VolumeView['cutOff'] {
  const said = new Set(replies.map(({ cutOff }) => cutOff))
  if (said.has('stop')) return 'stop'
  return said.has('read') ? 'read' : null
}

/** The primary that there is; the record's counts only while nobody who could know better answers. */
function serving(best: StatusReply | undefined, record: VolumeRecord | undefined): string | null {
  return (best === undefined ? record?.primary : best.primary) || null
}

function memberView(
  server: ServerState,
  known: MemberStatus | undefined,
  answers: boolean,
): Omit<MemberView, 'drained'> {
  const runs = hasProcess(server)
  const here = server.state !== 'unheard' && (server.pid !== 0 || server.state !== 'running')
  // A primary that has not heard of a member since it became one does not know how far that is.
  const at = runs || (known !== undefined && known.applied > 0n) ? known : undefined
  return {
    name: server.name,
    state: runs ? memberState(known?.state) : 'down',
    runs,
    here,
    pid: server.pid === 0 ? null : server.pid,
    address: server.address || null,
    applied: at ? Number(at.applied) : null,
    committed: known ? Number(known.committed) : null,
    behindEntries: at ? Number(at.behindEntries) : null,
    behindBytes: at ? Number(at.behindBytes) : null,
    resync: resyncView(known?.resync),
    reason: reasonOf(server, { runs, answers }),
  }
}

const hasProcess = ({ pid, state }: ServerState): boolean => pid !== 0 || state === 'running'

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
  if (runs && answers) return ''
  if (runs) return server.pid === 0 ? 'its server gives no answer' : `process ${server.pid} gives no answer`
  return server.state === 'stopped' ? 'it was stopped' : server.reason
}

function memberState(state: string | undefined): MemberState {
  return state === 'in-sync' || state === 'resyncing' ? state : 'down'
}
