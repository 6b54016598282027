import { rmSync } from 'node:fs'
import { DriverState } from '../../fs-driver/driver/driver-state.ts'
import { runDriver } from '../../fs-driver/driver/main.ts'
import { runNativeDriver } from '../../fs-driver/fuse-native/main.ts'
import { OpenFiles } from '../../fs-driver/fuse-native/open-files.ts'
import { LeaseFile } from '../../fs-driver/kernel/lease-file.ts'
import { deviceFd, resendVariable } from '../../fs-driver/kernel/supervisor.ts'
import { cachingCapabilities, wantedCapabilities } from '../../fs-driver/protocol/negotiate.ts'
import { GrpcTransport } from '../../fs-driver/router/grpc-transport.ts'
import type { HoldHolder } from '../../fs-driver/router/hold-holder.ts'
import type { LeaseHolder } from '../../fs-driver/router/lease-holder.ts'
import type { ProviderSource } from '../../fs-driver/router/provider-source.ts'
import { createRouter, type Router, type RouterOptions } from '../../fs-driver/router/router.ts'
import { ExtentFile } from '../../fs-driver/write-behind/extent-file.ts'
import { StepFiles } from '../../fs-driver/write-behind/step-files.ts'
import { nodeId } from '../../proto/ids.ts'
import { collectSeldom } from '../collector.ts'
import { configuredMount, hostAt, type Place } from '../host.ts'
import { openLog, type ProcessLog } from '../log.ts'
import type { MountDriver } from '../mount-driver.ts'
import { mountFile, mountName } from '../mount-name.ts'
import type { StateFolder } from '../state-folder.ts'
import { volumeName } from '../volume.ts'
import { watchSettings } from '../watch-settings.ts'

export interface DriveCommand extends Place {
  readonly dir: string
  readonly provider: string | undefined
  /** The process that keeps the mount. */
  readonly owner: number
  readonly driver: MountDriver
  readonly readOnly: boolean
}

/** The process that serves one mount, started by `mount` with the kernel's connection. Resolves when that has ended. */
export async function drive(command: DriveCommand): Promise<void> {
  collectSeldom()
  const host = hostAt(command)
  const { state } = host
  const settings = host.settings.read()
  const name = mountName(command.dir)
  const log = openLog(state.log(name), `${name}-driver`, settings.log.level)
  const watch = watchSettings(host.settings, log, (next) => log.setLevel(next.log.level))
  const resend = command.driver === 'plain' && process.env[resendVariable] === '1'
  const slotFile = mountFile(state, command.dir, 'slots')
  if (!resend) rmSync(slotFile, { force: true }) // a new connection: the kernel's numbers begin anew
  const directory = await host.openDirectory()
  const providers: ProviderSource = {
    watch: (onChange) => directory.watch(volumeName, { record: () => {}, death: () => {}, providers: onChange }),
  }
  const routing: Routing = {
    providers,
    ...(command.provider === undefined ? {} : { pinned: nodeId(command.provider) }),
    host: host.name,
    path: command.dir,
    pid: command.owner,
    slotFile,
    unavailableMs:
      (configuredMount(host, command.dir)?.unavailableSeconds ?? settings.mount.unavailable_seconds) * 1000,
    transport: new GrpcTransport(host.dial),
    log: (event, fields) => log.info(event, fields),
  }
  const { readOnly } = command
  if (command.driver === 'plain') await drivePlain(routing, { state, resend, readOnly, log })
  else await driveNative(routing, { readOnly, log })
  await directory.close()
  await watch.close()
}

/** Everything but what the driver itself knows. */
type Routing = Omit<RouterOptions, 'isOpen'>

interface Plain {
  readonly state: StateFolder
  readonly resend: boolean
  readonly readOnly: boolean
  readonly log: ProcessLog
}

async function drivePlain(routing: Routing, { state, resend, readOnly, log }: Plain): Promise<void> {
  const open = DriverState.open(mountFile(state, routing.path, 'handles'), { resend })
  const leaseFile = new LeaseFile(mountFile(state, routing.path, 'leases'), { resend })
  let router: Router | undefined
  const extentFile = new ExtentFile(mountFile(state, routing.path, 'writes'), { resend })
  const stepFiles = new StepFiles(mountFile(state, routing.path, 'steps'), { resend })
  const connect = (leases: LeaseHolder, holds: HoldHolder): Router => {
    const isOpen = (ino: bigint): boolean => open.isOpen(ino)
    router = createRouter({ ...routing, isOpen, onSessionEnded: () => open.locks.lose(), leases, holds })
    return router
  }
  process.on('SIGUSR2', () => log.info('driver.requests', { sent: router?.sent() }))
  const wanted = wantedCapabilities | cachingCapabilities
  const { unavailableMs = 60_000 } = routing
  const how = { resend, readOnly, wanted, unavailableMs }
  await runDriver({ fd: deviceFd, connect, state: open, leaseFile, extentFile, stepFiles, ...how, log })
  await router?.end()
}

async function driveNative(routing: Routing, { readOnly, log }: Pick<Plain, 'readOnly' | 'log'>): Promise<void> {
  const files = new OpenFiles()
  const router = createRouter({ ...routing, isOpen: (ino) => files.isOpen(ino) })
  await runNativeDriver({ dir: routing.path, client: router, readOnly, files, log })
  await router.end()
}
