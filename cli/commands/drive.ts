import { DriverState } from '../../fs-driver/driver/driver-state.ts'
import { runDriver } from '../../fs-driver/driver/main.ts'
import { runNativeDriver } from '../../fs-driver/fuse-native/main.ts'
import { OpenFiles } from '../../fs-driver/fuse-native/open-files.ts'
import { deviceFd } from '../../fs-driver/kernel/bond.ts'
import { LeaseFile } from '../../fs-driver/kernel/lease-file.ts'
import { resendVariable } from '../../fs-driver/kernel/supervisor.ts'
import { cachingCapabilities, wantedCapabilities } from '../../fs-driver/protocol/negotiate.ts'
import { nodeId } from '../../proto/ids.ts'
import { collectSeldom } from '../collector.ts'
import { MountVolumes } from '../drive/mount-volumes.ts'
import { configuredMount, hostAt, type Place } from '../host.ts'
import { openLog } from '../log.ts'
import type { MountDriver } from '../mount-driver.ts'
import { mountFile, mountName, removeMountFiles } from '../mount-name.ts'
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
  const { dir, driver, owner, provider, readOnly } = command
  const settings = host.settings.read()
  const name = mountName(dir)
  const log = openLog(state.log(name), `${name}-driver`, settings.log.level)
  const watch = watchSettings(host.settings, log, (next) => log.setLevel(next.log.level))
  const resend = driver === 'plain' && process.env[resendVariable] === '1'
  if (!resend) removeMountFiles(state, dir) // a new connection: the kernel's numbers begin anew
  const unavailableMs = (configuredMount(host, dir)?.unavailableSeconds ?? settings.mount.unavailable_seconds) * 1000
  const directory = await host.openDirectory()
  const volumes = new MountVolumes({
    host,
    directory,
    dir,
    owner,
    pinned: provider === undefined ? undefined : nodeId(provider),
    unavailableMs,
    resend,
    log,
  })
  if (driver === 'plain') {
    const open = DriverState.open(mountFile(state, dir, 'handles'), { resend })
    const leaseFile = new LeaseFile(mountFile(state, dir, 'leases'), { resend })
    process.on('SIGUSR2', () => log.info('driver.requests', { sent: volumes.sent() }))
    const wanted = wantedCapabilities | cachingCapabilities
    const how = { resend, readOnly, wanted, unavailableMs, log }
    const others = volumes.others(open)
    await runDriver({ fd: deviceFd, ...volumes.first(open), others, state: open, leaseFile, ...how })
  } else {
    const files = new OpenFiles()
    await runNativeDriver({ dir, client: volumes.router((ino) => files.isOpen(ino)), readOnly, files, log })
  }
  await volumes.end()
  await directory.close()
  await watch.close()
}
