import { type Advert, providerRoles } from '../../proto/advert.ts'
import type * as wire from '../../proto/generated/directory-service.ts'
import { epoch, type Incarnation, incarnation, type NodeId, nodeId } from '../../proto/ids.ts'
import { isTreePath } from '../../proto/tree-path.ts'
import { volumeNumberMax } from '../../proto/volume-number.ts'
import type { Attached, OnPartition, Versioned, VolumeRecord } from '../../replication/record.ts'
import { DirectoryRefusal } from './directory.ts'

/** Members of one volume. Each costs every commit an acknowledgement; far more than anybody wants. */
export const membersMax = 64
const textMax = 4096
const policies: readonly OnPartition[] = ['stop', 'read', 'continue']

/** @throws DirectoryRefusal when it is not a record */
export function recordFromWire(record: wire.VolumeRecord | undefined): VolumeRecord {
  if (record === undefined) throw new DirectoryRefusal('a record is missing')
  const onPartition = policies.find((policy) => policy === record.onPartition)
  if (onPartition === undefined) throw new DirectoryRefusal(`onPartition is not known: ${quote(record.onPartition)}`)
  const members = nodes(record.members)
  const inSync = nodes(record.inSync) // one that was taken out of the members may still be in there
  const among = (names: readonly string[]): NodeId[] => {
    const found = nodes(names)
    const stranger = found.find((node) => !members.includes(node) && !inSync.includes(node))
    if (stranger !== undefined) throw new DirectoryRefusal(`${stranger} is not a member of the volume`)
    return found
  }
  return {
    epoch: judged(() => epoch(Number(record.epoch))),
    primary: record.primary === '' ? undefined : among([record.primary])[0],
    inSync,
    eligible: nodes(record.eligible),
    members,
    drained: nodes(record.drained),
    incarnations: Object.fromEntries(
      Object.entries(record.incarnations).map(([node, text]) => [
        judged(() => nodeId(node)),
        incarnationFromWire(text),
      ]),
    ),
    minInSync: record.minInSync,
    onPartition,
    ...(record.attached.length > 0 && { attached: record.attached.map(attachedFromWire) }),
    changedBy: text(record.changedBy),
  }
}

export function recordToWire(record: VolumeRecord): wire.VolumeRecord {
  return {
    epoch: BigInt(record.epoch),
    primary: record.primary ?? '',
    inSync: [...record.inSync],
    eligible: [...record.eligible],
    members: [...record.members],
    drained: [...record.drained],
    incarnations: { ...record.incarnations },
    minInSync: record.minInSync,
    onPartition: record.onPartition,
    attached: [...(record.attached ?? [])],
    changedBy: record.changedBy,
  }
}

/** @throws DirectoryRefusal */
export function versionedFromWire(versioned: wire.VersionedRecord): Versioned {
  const version = Number(versioned.version)
  if (!Number.isSafeInteger(version) || version < 1) throw new DirectoryRefusal(`no version: ${versioned.version}`)
  return { version, record: recordFromWire(versioned.record) }
}

export function versionedToWire({ version, record }: Versioned): wire.VersionedRecord {
  return { version: BigInt(version), record: recordToWire(record) }
}

/** @throws DirectoryRefusal */
export function advertFromWire(advert: wire.Advert): Advert {
  const role = providerRoles.find((known) => known === advert.role)
  if (role === undefined) throw new DirectoryRefusal(`a role is not known: ${quote(advert.role)}`)
  return {
    node: nodeFromWire(advert.node),
    incarnation: incarnationFromWire(advert.incarnation),
    address: text(advert.address),
    host: text(advert.host),
    load: advert.load,
    role,
    remote: remoteFromWire(advert.remote),
  }
}

export function advertToWire(advert: Advert): wire.Advert {
  return { ...advert, load: Math.min(Math.max(0, Math.round(advert.load)), 0xffffffff) }
}

/** @throws DirectoryRefusal */
function remoteFromWire(address: string): string {
  if (address === '' || /^([a-z0-9.-]{1,253}|\[[0-9a-f:.]{2,45}\]):\d{1,5}$/i.test(address)) return address
  throw new DirectoryRefusal(`no HOST:PORT: ${quote(address)}`)
}

/** @throws DirectoryRefusal */
export function nodeFromWire(name: string): NodeId {
  return judged(() => nodeId(name))
}

/** @throws DirectoryRefusal */
export function incarnationFromWire(name: string): Incarnation {
  if (!/^[A-Za-z0-9-]{1,64}$/.test(name)) throw new DirectoryRefusal(`no incarnation: ${quote(name)}`)
  return incarnation(name)
}

/** @throws DirectoryRefusal */
function attachedFromWire({ at, name, number, parent, volume }: wire.Attached): Attached {
  if (!isTreePath(at) || !at.endsWith(`/${name}`)) throw new DirectoryRefusal(`no path in the tree: ${quote(at)}`)
  if (number < 1 || number > volumeNumberMax) throw new DirectoryRefusal(`no number of a volume: ${number}`)
  return { number, volume: volumeFromWire(volume), at, parent, name }
}

/** @throws DirectoryRefusal */
export function volumeFromWire(name: string): string {
  if (!/^[a-z0-9][a-z0-9-]{0,62}$/.test(name))
    throw new DirectoryRefusal(`a volume is named with a-z, 0-9 and -: ${quote(name)}`)
  return name
}

function nodes(names: readonly string[]): NodeId[] {
  if (names.length > membersMax)
    throw new DirectoryRefusal(`${names.length} members are too many (at most ${membersMax})`)
  return names.map(nodeFromWire)
}

function text(value: string): string {
  if (value.length > textMax) throw new DirectoryRefusal(`a text of ${value.length} characters is too long`)
  return value
}

function judged<T>(make: () => T): T {
  try {
    return make()
  } catch (error) {
    if (!(error instanceof RangeError)) throw error
    throw new DirectoryRefusal(error.message, { cause: error })
  }
}

const quote = (value: string): string => JSON.stringify(value.slice(0, 100))
