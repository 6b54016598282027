import os from 'node:os'
import { incarnation, nodeId } from '../../proto/ids.ts'
import { DirectoryClient } from '../../server/directory/client.ts'
import { type RunningServer, startServer } from '../../server/server.ts'
import { collectSeldom } from '../collector.ts'
import { oneLine } from '../failure.ts'
import { openLog, type ProcessLog } from '../log.ts'
import { readSettings } from '../settings.ts'
import { stateFolder } from '../state-folder.ts'
import { volumeName } from '../volume.ts'
import { watchSettings } from '../watch-settings.ts'

export interface ServeCommand {
  readonly state: string
  readonly name: string
  readonly incarnation: string
}

/** What a file server reports with an event alone. Anything else of it is a change of state. */
const errors: ReadonlySet<string> = new Set(['server.broken'])

/** The process of one file server, started by `up`. Resolves when it has stopped, after SIGTERM. */
export async function serve(command: ServeCommand): Promise<void> {
  collectSeldom()
  const state = stateFolder(command.state)
  const settings = readSettings(state.settingsFile)
  const log = openLog(state.log(command.name), command.name, settings.log.level)
  endOnBugs(log)
  const watch = watchSettings(state.settingsFile, settings, log, (next) => log.setLevel(next.log.level))
  const directory = new DirectoryClient(`unix:${state.socket('up')}`)
  const asked = new Promise<void>((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => resolve())
  })
  const server: RunningServer = await startServer({
    node: nodeId(command.name),
    incarnation: incarnation(command.incarnation),
    volume: volumeName,
    directory,
    socket: state.socket(command.name),
    stateDir: state.store(command.name),
    host: os.hostname(),
    log: (event, fields) => (errors.has(event) ? log.error(event, fields) : log.info(event, fields)),
  })
  await asked
  await server.close()
  directory.close()
  await watch.close()
}

/** An error that nobody caught has left state nobody knows: the process ends, and another member goes on. */
export function endOnBugs(log: ProcessLog): void {
  const end = (error: unknown): void => {
    log.error('process.broken', { error })
    console.error(error)
    console.error(oneLine(error)) // the last line is what the status shows
    process.exit(70) // EX_SOFTWARE of sysexits.h
  }
  process.on('uncaughtException', end).on('unhandledRejection', end)
}
