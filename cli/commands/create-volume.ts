import type { NodeId } from '../../proto/ids.ts'
import { volumeAttached } from '../../replication/operator-changes.ts'
import { newRecord, type Versioned } from '../../replication/record.ts'
import { type Directory, DirectoryRefusal } from '../../server/directory/directory.ts'
import { volumeFromWire } from '../../server/directory/wire.ts'
import { makePlace, mustBePlace } from '../attach-point.ts'
import { changeRecord, recordOf, untilRecord, withDirectory } from '../change-record.ts'
import { withControl } from '../control-client.ts'
import { Failure } from '../failure.ts'
import { type Host, runningHost } from '../host.ts'
import { placeOf, volumeName } from '../volume.ts'
import { judged, type VolumeCommand } from './volume.ts'

export interface AttachVolumeCommand extends VolumeCommand {
  /** Standard: by its name, in the root. */
  readonly at?: string
}

export interface CreateVolumeCommand extends AttachVolumeCommand {
  /** Names with commas between. */
  readonly mirrors: string
}

/** For its servers to notice it, and one of them to lead. */
const servedMs = 30_000

/** Resolves when it is served, and in its place. @throws Failure */
export async function createVolume(command: CreateVolumeCommand): Promise<void> {
  const { volume } = command
  mustBeName(volume)
  const host = runningHost(command)
  const { at = `/${volume}` } = command
  const mirrors = mirrorsOf(command.mirrors)
  await withDirectory(host, async (directory) => {
    const records = await directory.readRecords()
    if (records.has(volume)) throw exists(volume, host)
    await mustBeKnown(host, mirrors, records)
    const { record: root } = await recordOf(directory, volumeName)
    const place = await makePlace(host, directory, mustBePlace(root, at))
    const changedBy = `creation/${process.pid}/${Date.now()}`
    const { record } = await directory.createRecord(volume, { ...newRecord(mirrors), changedBy })
    // Whoever leads it first may have changed the record by now.
    if (record.changedBy !== changedBy && record.members.join() !== mirrors.join()) throw exists(volume, host)
    await untilServed(directory, volume, { host, mirrors })
    await changeRecord(directory, volumeName, (present) => volumeAttached(present, { volume, at, ...place }))
  })
  console.log(`Volume ${volume} is at ${at} in every mount, mirrored by ${mirrors.join(', ')}.`)
}

/** For one that was made by a configuration. @throws Failure */
export async function attachVolume(command: AttachVolumeCommand): Promise<void> {
  const { volume } = command
  const host = runningHost(command)
  const { at = `/${volume}` } = command
  await withDirectory(host, async (directory) => {
    await recordOf(directory, volume)
    const { record: root } = await recordOf(directory, volumeName)
    const present = placeOf(volume, root)
    if (present !== undefined) {
      const meaning = 'A volume keeps its place, so nothing was changed'
      throw new Failure(`volume ${volume} is at ${present}`, { meaning })
    }
    const place = await makePlace(host, directory, mustBePlace(root, at))
    await changeRecord(directory, volumeName, (now) => volumeAttached(now, { volume, at, ...place }))
  })
  console.log(`Volume ${volume} is at ${at} in every mount.`)
}

async function untilServed(
  directory: Directory,
  volume: string,
  { host, mirrors }: { readonly host: Host; readonly mirrors: readonly NodeId[] },
): Promise<void> {
  await untilRecord(directory, volume, {
    is: ({ primary }) => primary !== undefined,
    limitMs: servedMs,
    slow: new Failure(`volume ${volume} is made, and none of ${mirrors.join(', ')} serves it yet`, {
      meaning: 'It has no place in the tree',
      remedy: `Look at "banyan status${host.flag}"; when it is served, "banyan volume attach ${volume}${host.flag}"`,
    }),
  })
}

/** @throws Failure */
function mustBeName(volume: string): void {
  try {
    volumeFromWire(volume)
  } catch (error) {
    if (!(error instanceof DirectoryRefusal)) throw error
    throw new Failure(error.message, { meaning: 'Nothing was changed', remedy: 'Choose another name', cause: error })
  }
}

/** @throws Failure */
function mirrorsOf(text: string): readonly NodeId[] {
  const mirrors = text.split(',').map((name) => judged(name.trim()))
  const twice = mirrors.find((node, index) => mirrors.indexOf(node) !== index)
  if (twice === undefined) return mirrors
  throw new Failure(`${twice} is named twice`, { meaning: 'Nothing was changed', remedy: 'Name each mirror once' })
}

/** @throws Failure */
async function mustBeKnown(
  host: Host,
  mirrors: readonly NodeId[],
  records: ReadonlyMap<string, Versioned>,
): Promise<void> {
  const { servers } = await withControl(host, (control) => control.state())
  const known = new Set<string>([
    ...servers.map(({ name }) => name),
    ...(host.member?.config.hosts.keys() ?? []),
    ...[...records.values()].flatMap(({ record }) => record.members),
  ])
  const stranger = mirrors.find((node) => !known.has(node))
  if (stranger === undefined) return
  throw new Failure(`there is no server ${stranger}`, {
    meaning: 'Nothing was changed',
    remedy: `Name some of ${[...known].toSorted((a, b) => a.localeCompare(b)).join(', ')}`,
  })
}

const exists = (volume: string, { flag }: Host): Failure =>
  new Failure(`there is a volume ${volume} already`, {
    meaning: 'Nothing was changed',
    remedy: `Choose another name; "banyan volume list${flag}" shows all`,
  })
