import type { MemberStatus } from '../../proto/generated/admin-service.ts'
import { askPrimary } from '../ask-primary.ts'
import { Failure } from '../failure.ts'
import { type Host, type Place, runningHost } from '../host.ts'
import { clusterView, memberProgress, type VolumeView, volumeNamed } from '../show/cluster-view.ts'
import { resyncShow } from '../show/resync-progress.ts'

export interface ResyncCommand extends Place {
  readonly full: boolean
  /** undefined: all of them. */
  readonly volume: string | undefined
  readonly member: string | undefined
  readonly json: boolean
}

/** Starts or follows the resync of what is not in sync; resolves when all that was asked for is. @throws Failure */
export async function resync(command: ResyncCommand): Promise<void> {
  const host = runningHost(command)
  const volumes = wantedVolumes((await clusterView(host)).volumes, command)
  for (const volume of volumes) mustBeAbleToResync(volume, command, host)
  for (const { name } of volumes) {
    if (volumes.length > 1 && !command.json) console.log(`volume ${name}:`)
    await resyncVolume(name, command, host)
  }
}

/** The volume that is named; otherwise all that the member has a part in, or all. @throws Failure */
function wantedVolumes(all: readonly VolumeView[], { member, volume }: ResyncCommand): readonly VolumeView[] {
  if (volume !== undefined) return [volumeNamed(all, volume)]
  if (member === undefined) return all
  const wanted = all.filter(({ members }) => members.some(({ name }) => name === member))
  return wanted.length > 0 ? wanted : all.slice(0, 1) // which says whom one may name
}

async function resyncVolume(volume: string, command: ResyncCommand, host: Host): Promise<void> {
  const show = resyncShow(process.stdout, () => performance.now())
  let last: readonly MemberStatus[] = []
  try {
    const events = askPrimary(host, volume, (client, metadata, attempt) =>
      // Of a full resync only the beginning is asked for once: asked again it would begin anew.
      client.resync({ member: command.member ?? '', full: command.full && attempt === 0 }, metadata),
    )
    for await (const event of events) {
      last = event.members
      const members = event.members.map(memberProgress)
      if (command.json) console.log(JSON.stringify({ volume, members, done: event.done }))
      else show.show(members)
      if (event.done) break
    }
  } finally {
    show.end()
  }
  const wanted = last.filter(({ name }) => command.member === undefined || name === command.member)
  const missing = wanted.filter((member) => member.state !== 'in-sync')
  if (missing.length > 0) {
    throw new Failure(`not in sync: ${missing.map(({ name, state: is }) => `${name} (${is})`).join(', ')}`, {
      remedy: `Look at "banyan status${host.flag}"`,
    })
  }
  if (!command.json)
    console.log(command.member === undefined ? 'All members are in sync.' : `${command.member} is in sync.`)
}

/** @throws Failure */
function mustBeAbleToResync({ members }: VolumeView, { member }: ResyncCommand, host: Host): void {
  if (member !== undefined && !members.some(({ name }) => name === member)) {
    throw new Failure(`there is no member ${member}`, {
      meaning: 'Nothing was changed',
      remedy: `Name one of ${members.map(({ name }) => name).join(', ')}`,
    })
  }
  const gone = members.filter(({ name, runs }) => !runs && (member === undefined || name === member))
  if (gone.length === 0) return
  const names = gone.map(({ name }) => name).join(', ')
  throw new Failure(`${names} ${gone.length === 1 ? 'does' : 'do'} not run`, {
    meaning: 'A server that does not run cannot get in sync',
    remedy: gone[0]?.here ? `Start it with "banyan server start ${gone[0].name}${host.flag}"` : 'See to its host',
  })
}
