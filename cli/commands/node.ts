import type { NodeId } from '../../proto/ids.ts'
import { drainSet } from '../../replication/operator-changes.ts'
import type { VolumeRecord } from '../../replication/record.ts'
import type { Directory } from '../../server/directory/directory.ts'
import { changeRecord, untilRecord, withDirectory } from '../change-record.ts'
import { Failure } from '../failure.ts'
import { type Place, runningHost } from '../host.ts'
import { lookUp } from '../show/look-up.ts'
import { table } from '../show/table.ts'
import { judged, removeFrom } from './volume.ts'

export interface NodeCommand extends Place {
  readonly node: string
}

/** For another member to lead: it must be in sync. */
const drainMs = 30_000

/** @throws Failure */
export async function listNodes({ json, ...place }: Place & { readonly json: boolean }): Promise<void> {
  const host = runningHost(place)
  const records = await withDirectory(host, (directory) => directory.readRecords())
  const adverts = (await Promise.all([...records.keys()].map((volume) => lookUp(host, volume)))).flatMap(
    (one) => one.adverts,
  )
  const all = [...records].map(([volume, { record }]) => ({ volume, record }))
  const names = new Set([...adverts.map(({ node }) => node), ...all.flatMap(({ record }) => record.members)])
  const configured = host.member?.config.hosts.keys() ?? []
  const nodes = [...new Set([...names, ...configured])].sort().map((node) => {
    const those = (which: (record: VolumeRecord) => boolean): string[] =>
      all.filter(({ record }) => which(record)).map(({ volume }) => volume)
    return {
      name: node,
      runs: adverts.some((advert) => advert.node === node),
      leads: those((record) => record.primary === node),
      mirrors: those((record) => record.members.includes(node)),
      inSync: those((record) => record.inSync.includes(node)),
      drained: those((record) => record.drained.includes(node)),
    }
  })
  if (json) return console.log(JSON.stringify(nodes, undefined, 2))
  const rows = nodes.map(({ drained, inSync, leads, mirrors, name, runs }) => [
    name,
    runs ? 'runs' : 'down',
    drained.length > 0 ? 'drained' : '',
    ...[leads, mirrors, inSync].map((volumes) => volumes.join(' ') || '-'),
  ])
  console.log(table(['node', 'server', '', 'leads', 'mirrors', 'in sync'], rows).join('\n'))
}

/** Resolves when it leads nothing any more; clients have gone to other servers, or do now. @throws Failure */
export async function drainNode(command: NodeCommand & { readonly end: boolean }): Promise<void> {
  const node = judged(command.node)
  const host = runningHost(command)
  const volumes = await withDirectory(host, async (directory) => {
    const names = await volumesOf(directory, node)
    for (const volume of names) {
      await changeRecord(directory, volume, (record) => drainSet(record, node, command.end ? 'end' : 'begin'))
      if (command.end) continue
      await untilRecord(directory, volume, {
        is: (record) => record.primary !== node,
        limitMs: drainMs,
        slow: new Failure(`${node} still leads volume ${volume}`, {
          meaning: 'No other mirror of it is in sync',
          remedy: `Bring one in sync ("banyan resync${host.flag}"), or take this back with --end`,
        }),
      })
    }
    return names
  })
  console.log(
    command.end
      ? `${node} may lead and be read from again: ${volumes.join(', ')}.`
      : `${node} leads nothing, and clients read elsewhere: ${volumes.join(', ')}. It may be stopped. "banyan node drain ${node} --end${host.flag}" ends this.`,
  )
}

/** Takes it out of all volumes. @throws Failure */
export async function removeNode(command: NodeCommand): Promise<void> {
  const node = judged(command.node)
  const host = runningHost(command)
  const volumes = await withDirectory(host, (directory) => volumesOf(directory, node))
  for (const volume of volumes) await removeFrom(host, volume, node)
  console.log(`${node} is no mirror of anything any more (${volumes.join(', ')}); its copies are still on its disk.`)
}

/** @throws Failure when there are none */
async function volumesOf(directory: Directory, node: NodeId): Promise<readonly string[]> {
  const records = await directory.readRecords()
  const names = [...records].filter(([, { record }]) => record.members.includes(node)).map(([name]) => name)
  if (names.length > 0) return names
  const known = new Set([...records.values()].flatMap(({ record }) => record.members))
  throw new Failure(`${node} is no mirror of any volume`, {
    meaning: 'Nothing was changed',
    remedy: `Name one of ${[...known].join(', ')}`,
  })
}
