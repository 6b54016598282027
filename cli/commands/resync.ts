import type { MemberStatus } from '../../proto/generated/admin-service.ts'
import { askPrimary } from '../ask-primary.ts'
import { Failure } from '../failure.ts'
import { type Host, type Place, runningHost } from '../host.ts'
import { clusterView, memberProgress, type VolumeView } from '../show/cluster-view.ts'
import { resyncShow } from '../show/resync-progress.ts'

export interface ResyncCommand extends Place {
  readonly full: boolean
  readonly member: string | undefined
  readonly json: boolean
}

/** Starts or follows the resync of what is not in sync; resolves when all that was asked for is. @throws Failure */
export async function resync(command: ResyncCommand): Promise<void> {
  const host = runningHost(command)
  const [volume] = (await clusterView(host)).volumes
  if (volume !== undefined) mustBeAbleToResync(volume, command, host)
  const show = resyncShow(process.stdout, () => performance.now())
  let last: readonly MemberStatus[] = []
  try {
    const events = askPrimary(host, (client, attempt) =>
      // Of a full resync only the beginning is asked for once: asked again it would begin anew.
      client.resync({ member: command.member ?? '', full: command.full && attempt === 0 }),
    )
    for await (const event of events) {
      last = event.members
      const members = event.members.map(memberProgress)
      if (command.json) console.log(JSON.stringify({ members, done: event.done }))
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
