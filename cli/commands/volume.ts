import type { NodeId } from '../../proto/ids.ts'
import { minInSyncSet, mirrorAdded, mirrorRemoved, onPartitionSet } from '../../replication/operator-changes.ts'
import type { OnPartition, VolumeRecord } from '../../replication/record.ts'
import { changeRecord, untilRecord, withDirectory } from '../change-record.ts'
import { Failure } from '../failure.ts'
import { type Host, type Place, runningHost } from '../host.ts'
import { nodeNamed } from '../node-name.ts'
import { table } from '../show/table.ts'
import { placeOf, volumeName } from '../volume.ts'

export interface VolumeCommand extends Place {
  readonly volume: string
}

/** For a primary to hand over and to let a mirror go; or to bring one in that has little to fetch. */
const settleMs = 30_000

/** @throws Failure */
export async function listVolumes({ json, ...place }: Place & { readonly json: boolean }): Promise<void> {
  const host = runningHost(place)
  const records = await withDirectory(host, (directory) => directory.readRecords())
  const volumes = [...records].map(([name, { record }]) => ({
    name,
    at: placeOf(name, records.get(volumeName)?.record) ?? null,
    primary: record.primary ?? null,
    members: record.members,
    inSync: record.inSync,
    drained: record.drained,
    minInSync: record.minInSync,
    onPartition: record.onPartition,
    epoch: record.epoch,
  }))
  if (json) return console.log(JSON.stringify(volumes, undefined, 2))
  const rows = volumes.map(({ at, epoch, inSync, members, minInSync, name, onPartition, primary }) => {
    const mirrors = members.map((node) => (inSync.includes(node) ? node : `(${node})`)).join(' ')
    return [name, at ?? '-', primary ?? 'none', mirrors, String(minInSync), onPartition, String(epoch)]
  })
  console.log(
    table(['volume', 'at', 'primary', 'mirrors (not in sync)', 'min-in-sync', 'on-partition', 'epoch'], rows).join(
      '\n',
    ),
  )
}

/** `settings`: as on the command line, `min-in-sync=2`. @throws Failure */
export async function setVolume(command: VolumeCommand & { readonly settings: readonly string[] }): Promise<void> {
  const { volume } = command
  const changes = command.settings.map(settingOf)
  const record = await withDirectory(runningHost(command), (directory) =>
    changeRecord(directory, volume, (present) =>
      changes.reduce<ReturnType<(typeof changes)[number]>>(
        (so, change) => (so.kind === 'refused' ? so : change(so.record)),
        { kind: 'changed', record: present },
      ),
    ),
  )
  console.log(`volume ${volume}: min-in-sync=${record.minInSync} on-partition=${record.onPartition}`)
}

/** The new mirror is filled while the volume is in use; `banyan resync` shows how far it is. @throws Failure */
export async function addMirror(command: VolumeCommand & { readonly node: string }): Promise<void> {
  const { node, volume } = command
  const host = runningHost(command)
  await withDirectory(host, (directory) =>
    changeRecord(directory, volume, (record) => mirrorAdded(record, judged(node))),
  )
  console.log(
    `${node} is a mirror of volume ${volume}, and is filled: "banyan resync${host.flag}" shows how far it is.`,
  )
}

/** Resolves when nobody needs it any more. @throws Failure */
export async function removeMirror(command: VolumeCommand & { readonly node: string }): Promise<void> {
  const host = runningHost(command)
  await removeFrom(host, command.volume, judged(command.node))
  console.log(`${command.node} is no mirror of volume ${command.volume} any more; its copy is still on its disk.`)
}

/** @throws Failure */
export async function removeFrom(host: Host, volume: string, node: NodeId): Promise<void> {
  await withDirectory(host, async (directory) => {
    await changeRecord(directory, volume, (record) => mirrorRemoved(record, node))
    await untilRecord(directory, volume, {
      is: (record) => record.primary !== node && !record.inSync.includes(node),
      limitMs: settleMs,
      slow: new Failure(`${node} is still needed in volume ${volume}`, {
        meaning: 'It leaves as soon as the primary runs and enough others are in sync',
        remedy: `Look at "banyan status${host.flag}"; "banyan volume add-mirror ${volume} ${node}${host.flag}" takes it back`,
      }),
    })
  })
}

/** @throws Failure */
export const judged = (node: string): NodeId =>
  nodeNamed(node, { meaning: 'Nothing was changed', remedy: 'Name a host as its configuration does' })

type Change = (record: VolumeRecord) => ReturnType<typeof minInSyncSet>

/** @throws Failure */
function settingOf(text: string): Change {
  const [name, value = ''] = text.split('=')
  const policies: readonly OnPartition[] = ['stop', 'read']
  const policy = policies.find((known) => known === value)
  if (name === 'min-in-sync' && /^\d{1,2}$/.test(value)) return (record) => minInSyncSet(record, Number(value))
  if (name === 'on-partition' && policy !== undefined) return (record) => onPartitionSet(record, policy)
  throw new Failure(`${text} is no setting of a volume`, {
    meaning: 'Nothing was changed',
    remedy: 'Write min-in-sync=N, on-partition=stop or on-partition=read',
  })
}
