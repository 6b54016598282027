import { type Place, runningHost } from '../host.ts'
import { clusterView } from '../show/cluster-view.ts'
import { statusText } from '../show/status-text.ts'

export interface StatusCommand extends Place {
  readonly json: boolean
}

/** @throws Failure */
export async function status(command: StatusCommand): Promise<void> {
  const host = runningHost(command)
  const view = await clusterView(host)
  console.log(command.json ? JSON.stringify(view, undefined, 2) : statusText(view, host.flag))
}
