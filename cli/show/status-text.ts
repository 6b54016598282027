import type { ClusterView, MemberView, MountView, ResyncView, VolumeView } from './cluster-view.ts'
import { columnsMax, fit, table, wrap } from './table.ts'
import { bytes, counted, duration } from './units.ts'

/** Of a disk that is nearly full: growth is refused soon. */
const spaceLow = 0.05

/** `banyan status` for people: what needs attention first, at most 100 columns. `flag`: what names the state folder. */
export function statusText(view: ClusterView, flag: string): string {
  const several = view.volumes.length > 1
  const urgent = view.volumes.flatMap((volume) =>
    attention(volume, flag).map((text) => (several ? `volume ${volume.name}: ${text}` : text)),
  )
  return [
    ...[...urgent, ...mountAttention(view.mounts)].flatMap((text) => wrap(`! ${text}`)),
    ...view.volumes.flatMap((volume, index) => [...(index === 0 ? [] : ['']), ...volumeText(volume)]),
    ...mountText(view.mounts),
  ].join('\n')
}

function volumeText(volume: VolumeView): string[] {
  const inSync = volume.members.filter((member) => member.state === 'in-sync').length
  const at = volume.at === '/' ? '' : ` at ${volume.at ?? 'no place in the tree'}`
  const heading = `volume ${volume.name}${at}: ${inSync} of ${volume.members.length} members in sync, primary ${volume.primary ?? 'none'}, epoch ${volume.epoch}`
  const rank = { down: 0, resyncing: 1, 'in-sync': 2 } as const
  const members = volume.members.toSorted(
    (a, b) => rank[a.state] - rank[b.state] || a.name.localeCompare(b.name, 'en', { numeric: true }),
  )
  return [
    fit(heading, columnsMax),
    '',
    ...table(
      ['member', 'state', 'role', 'pid', 'applied', 'committed', 'behind', 'address'],
      members.map((member) => memberRow(member, volume.primary)),
    ),
    ...members.flatMap((member) =>
      member.resync === null ? [] : wrap(`${member.name} resync: ${resyncText(member.resync)}`),
    ),
    ...(volume.space === null
      ? []
      : [
          '',
          `space   ${bytes(volume.space.freeBytes)} free of ${bytes(volume.space.totalBytes)} on the smallest in-sync member`,
        ]),
  ]
}

/** What somebody should do something about, worst first; each with the remedy. */
function attention(volume: VolumeView, flag: string): string[] {
  const found: string[] = []
  const { cutOff, members, primary, space } = volume
  if (cutOff !== null) {
    const does = cutOff === 'read' ? 'the last known state can be read, changes get EROFS' : 'everything gets EIO'
    found.push(
      `Cut off: no directory and no primary is reached from here. on-partition=${cutOff}: ${does}. See to the network.`,
    )
  }
  if (primary === null) {
    found.push(
      'No primary: operations wait. It comes by itself once members that have everything run and see each other.',
    )
  }
  for (const member of members.filter(({ state }) => state === 'down')) {
    const why = member.reason === '' ? 'it is not in the set and does not catch up' : member.reason
    const start = member.here ? ` Start it: banyan server start ${member.name}${flag}` : ' See to its host.'
    const remedy = member.runs ? '' : start
    found.push(`${member.name} is down: ${why}.${remedy}`)
  }
  if (space !== null && space.freeBytes < space.totalBytes * spaceLow) {
    found.push(
      `Only ${bytes(space.freeBytes)} are free on the smallest in-sync member: writes are refused soon. Remove files, or give it space.`,
    )
  }
  if (volume.poisoned > 0) {
    found.push(
      `${counted(volume.poisoned)} requests made a server's code fail and got EIO: a bug. Please report it with the logs.`,
    )
  }
  for (const member of members.filter(({ state }) => state === 'resyncing')) found.push(`${member.name} is resyncing.`)
  for (const { name } of members.filter(({ drained }) => drained)) {
    found.push(
      `${name} is drained: it leads nothing, and clients read elsewhere. When it is to serve again: banyan node drain ${name} --end${flag}`,
    )
  }
  return found
}

const mountAttention = (mounts: readonly MountView[]): string[] =>
  mounts
    .filter(({ provider }) => provider === null)
    .map(({ path }) => `The mount at ${path} is attached to no server at present.`)

function memberRow(member: MemberView, primary: string | null): string[] {
  const number = (value: number | null): string => (value === null ? '-' : counted(value))
  return [
    member.name,
    member.state,
    `${member.name === primary ? 'primary' : 'mirror'}${member.drained ? ', drained' : ''}`,
    member.pid === null ? '-' : String(member.pid),
    number(member.applied),
    number(member.committed),
    behind(member),
    member.address ?? '-',
  ]
}

function behind({ behindEntries, behindBytes }: MemberView): string {
  if (behindEntries === null || behindBytes === null) return '-'
  return behindEntries === 0 && behindBytes === 0 ? '0' : `${counted(behindEntries)}, ${bytes(behindBytes)}`
}

/** `45 %, 1.2 GiB of 2.6 GiB, 120 of 400 files, 80 MiB/s, 18 s left` */
export function resyncText(resync: ResyncView): string {
  const { bytesDone, bytesTotal, bytesPerSecond, filesDone, filesTotal } = resync
  const parts = [
    `${percent(resync)} %`,
    `${bytes(bytesDone)} of ${bytes(bytesTotal)}`,
    `${counted(filesDone)} of ${counted(filesTotal)} files`,
    `${bytes(bytesPerSecond)}/s`,
  ]
  if (bytesPerSecond > 0) parts.push(`${duration((bytesTotal - bytesDone) / bytesPerSecond)} left`)
  return parts.join(', ')
}

/** How far a resync is, 0 to 100: by bytes, or by files while no bytes are known. */
export function percent({ bytesDone, bytesTotal, filesDone, filesTotal }: ResyncView): number {
  const [done, total] = bytesTotal > 0 ? [bytesDone, bytesTotal] : [filesDone, filesTotal]
  return total === 0 ? 0 : Math.min(100, Math.floor((done / total) * 100))
}

function mountText(mounts: readonly MountView[]): string[] {
  if (mounts.length === 0) return ['', 'no mounts']
  const rows = mounts.map((mount) => [mount.provider ?? 'none', String(mount.pid), mount.path])
  return ['', ...table(['provider', 'pid', 'mount'], rows)]
}
