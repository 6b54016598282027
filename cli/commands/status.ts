import { clusterView } from '../show/cluster-view.ts'
import { statusText } from '../show/status-text.ts'
import { existingStateFolder, stateFlag } from '../state-folder.ts'

export interface StatusCommand {
  readonly state: string
  readonly json: boolean
}

/** @throws Failure */
export async function status(command: StatusCommand): Promise<void> {
  const state = existingStateFolder(command.state)
  const view = await clusterView(state)
  console.log(command.json ? JSON.stringify(view, undefined, 2) : statusText(view, stateFlag(state)))
}
