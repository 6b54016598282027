import { closeSync } from 'node:fs'
import path from 'node:path'
import { heritage } from '../../fs-driver/kernel/bond.ts'
import type { MountOptions } from '../../fs-driver/kernel/supervisor.ts'
import { ControlClient, withControl } from '../control-client.ts'
import { Failure, oneLine } from '../failure.ts'
import { type Host, hostAt, type Place, runningHost } from '../host.ts'
import { newLifeline } from '../liveness.ts'
import { openLog } from '../log.ts'
import { removeMemoryFolder } from '../memory-folder.ts'
import { type MountDriver, supervise } from '../mount-driver.ts'
import { mountFile, mountName, removeMountFiles } from '../mount-name.ts'
import { mountWords } from '../mount-words.ts'
import { mountPoint, mustBeAbleToMount } from '../preflight.ts'
import { banyanArgs } from '../program.ts'
import { prepareStateFolder } from '../state-folder.ts'
import { watchSettings } from '../watch-settings.ts'

export interface MountCommand extends Place {
  readonly dir: string
  readonly provider: string | undefined
  readonly driver: MountDriver
  /** Whoever would change something in it gets EROFS. */
  readonly readOnly: boolean
  /** Of a supervisor that must find the process: a word that no other process has on its command line, and its lifeline. */
  readonly mark: string | undefined
  readonly lifeline: string | undefined
}

/**
 * Mounts, or keeps the mount whose driver has started us because its supervisor has died. Resolves when the mount is gone:
 * unmounted by somebody, or by SIGINT or SIGTERM to us. @throws Failure
 */
export async function mount(command: MountCommand): Promise<void> {
  const left = heritage()
  const host = hostAt(command)
  const { state } = host
  if (left === undefined) await mustBePossible(command, host)
  else if (command.lifeline !== undefined) closeSync(newLifeline(command.lifeline).reader) // the former's has ended with it
  const settings = host.settings.read()
  const dir = mountPoint(command.dir)
  const name = mountName(dir)
  const log = openLog(state.log(name), name, settings.log.level)
  const watch = watchSettings(host.settings, log, (next) => log.setLevel(next.log.level))
  const words = mountWords({ ...command, dir }, host)
  const options: MountOptions = {
    dir,
    name: 'banyan',
    readOnly: command.readOnly,
    driverCommand: [process.execPath, ...banyanArgs('drive', ...words, '--owner', String(process.pid))],
    successor: [process.execPath, ...banyanArgs('mount', ...words, ...marksOf(command))],
    leaseFile: mountFile(state, dir, 'leases'),
    log,
  }
  const mounted = await supervise(command.driver, options, left).catch((error: unknown) => {
    throw new Failure(oneLine(error), { cause: error })
  })
  const control = new ControlClient(host)
  const registration = control.registerMount({ path: mounted.dir, pid: process.pid, provider: '' })
  const unmount = (): void => {
    mounted.unmount().catch((error: unknown) => {
      log.error('mount.not-unmounted', { error })
      console.error(`banyan: cannot unmount ${mounted.dir}: ${oneLine(error)}`)
    })
  }
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, unmount)
  const umount = command.driver === 'plain' ? 'umount' : 'fusermount -u'
  const how = left !== undefined ? 'Kept mounted' : command.readOnly ? 'Mounted read-only' : 'Mounted'
  console.log(`${how} at ${mounted.dir} (process ${process.pid}). Ctrl-C, or "${umount} ${mounted.dir}", ends it.`)
  const end = await mounted.ended
  registration.close()
  control.close()
  await watch.close()
  removeMountFiles(state, mounted.dir)
  removeMemoryFolder(state)
  if (end === 'given-up') {
    throw new Failure(`the driver of ${mounted.dir} ended again and again`, {
      meaning: 'The mount was given up; programs in it got errors',
      remedy: `Look at ${path.join(state.root, 'log', `${name}.log`)}`,
    })
  }
}

/** What a mount needs of its host. @throws Failure */
async function mustBePossible(command: MountCommand, host: Host): Promise<void> {
  mustBeAbleToMount(command.dir, command.driver)
  // One of several hosts mounts by itself: its directory is not in its supervisor, or on another host.
  if (host.member === undefined) runningHost(command)
  prepareStateFolder(host.state)
  if (command.provider !== undefined) await mustBeServer(host, command.provider)
}

const marksOf = ({ lifeline, mark }: MountCommand): readonly string[] =>
  lifeline === undefined || mark === undefined ? [] : ['--mark', mark, '--lifeline', lifeline]

/** @throws Failure */
async function mustBeServer(host: Host, name: string): Promise<void> {
  const names = host.member === undefined ? await serversHere(host) : [...host.member.config.hosts.keys()]
  if (names.includes(name)) return
  throw new Failure(`there is no server ${name}`, {
    meaning: 'Nothing was mounted',
    remedy: `Name one of ${names.join(', ')} with --provider`,
  })
}

async function serversHere(host: Host): Promise<readonly string[]> {
  const { servers } = await withControl(host, (control) => control.state())
  return servers.map((server) => server.name)
}
