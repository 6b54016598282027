import { incarnation, nodeId } from '../../proto/ids.ts'
import { diskFullExit } from '../../server/exit-code.ts'
import { type Network, type RunningServer, startServer } from '../../server/server.ts'
import { isOutOfSpace } from '../../server/store/file-io.ts'
import { collectSeldom } from '../collector.ts'
import { Failure, oneLine } from '../failure.ts'
import { type Host, hostAt, type Place } from '../host.ts'
import { openLog, type ProcessLog } from '../log.ts'
import { volumeName } from '../volume.ts'
import { watchSettings } from '../watch-settings.ts'

export interface FileServerCommand extends Place {
  readonly name: string
  readonly incarnation: string
}

/** What a file server reports with an event alone. Anything else of it is a change of state. */
const errors: ReadonlySet<string> = new Set(['server.broken'])

/** The process of one file server, started by its supervisor. Resolves when it has stopped, after SIGTERM. @throws Failure */
export async function fileServer(command: FileServerCommand): Promise<void> {
  collectSeldom()
  const host = hostAt(command)
  const { state } = host
  const settings = host.settings.read()
  const log = openLog(state.log(command.name), command.name, settings.log.level)
  endOnBugs(log)
  const watch = watchSettings(host.settings, log, (next) => log.setLevel(next.log.level))
  const directory = await host.openDirectory()
  const asked = new Promise<void>((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => resolve())
  })
  const server: RunningServer = await startServer({
    node: nodeId(command.name),
    incarnation: incarnation(command.incarnation),
    volume: volumeName,
    directory,
    socket: state.socket(command.name),
    storeOf: (volume) => state.store(command.name, volume),
    host: host.name,
    ...networkOf(host),
    log: (event, fields) => (errors.has(event) ? log.error(event, fields) : log.info(event, fields)),
  }).catch((error: unknown) => {
    if (!isOutOfSpace(error)) throw error
    throw new Failure(oneLine(error), { exitCode: diskFullExit, cause: error })
  })
  await asked
  await server.close()
  await directory.close()
  await watch.close()
}

/** Where other hosts reach this server, if there are any. */
function networkOf({ dial, member }: Host): { readonly network?: Network } {
  if (member === undefined) return {}
  const { config, listener } = member
  const remote = config.hosts.get(config.node)
  if (remote === undefined) return {}
  return { network: { listeners: config.listen.map(listener), remote, dial } }
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
