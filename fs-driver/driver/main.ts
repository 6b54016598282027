import { Coherence } from '../cache/coherence.ts'
import { MovedDirectories } from '../cache/moved-directories.ts'
import { Device } from '../kernel/device.ts'
import type { LeaseFile } from '../kernel/lease-file.ts'
import { Notifier } from '../kernel/notifier.ts'
import type { Log } from '../log.ts'
import { wantedCapabilities } from '../protocol/negotiate.ts'
import type { FileClient } from '../router/file-client.ts'
import type { HoldHolder } from '../router/hold-holder.ts'
import type { LeaseHolder } from '../router/lease-holder.ts'
import { readOnlyClient } from '../router/read-only-client.ts'
import type { ExtentFile } from '../write-behind/extent-file.ts'
import type { StepFiles } from '../write-behind/step-files.ts'
import { WriteBehind } from '../write-behind/write-behind.ts'
import { AccessTimes } from './access-times.ts'
import { Callers } from './caller.ts'
import { Driver } from './driver.ts'
import type { DriverState } from './driver-state.ts'
import { Interruptions } from './interruptions.ts'
import { readProcessStatus } from './process-status.ts'

export interface RunDriver {
  /** The connection, from the supervisor. */
  readonly fd: number
  /** Makes the way to the files. It tells `leases` what is leased, or nothing, and asks `state` what is open. */
  readonly connect: (leases: LeaseHolder, holds: HoldHolder) => FileClient
  /** Closed here, as both files. */
  readonly state: DriverState
  readonly leaseFile: LeaseFile
  readonly extentFile: ExtentFile
  readonly stepFiles: StepFiles
  /** This driver takes over from one that died. */
  readonly resend: boolean
  /** Nothing is changed through this mount: access times neither. */
  readonly readOnly?: boolean
  readonly log: Log
  /** Capabilities to ask of the kernel; see negotiate.ts. */
  readonly wanted?: bigint
  readonly unavailableMs?: number
}

/**
 * Serves one mount until it is gone; then the process should end with code 0, which tells the supervisor so. Until then
 * the process must not call `process.exit`: Node would wait for threads that wait for the kernel. What nobody caught
 * ends the process at once, and another one takes over.
 */
export async function runDriver({
  fd,
  connect,
  state,
  leaseFile,
  extentFile,
  stepFiles,
  resend,
  readOnly = false,
  log,
  wanted = wantedCapabilities,
  unavailableMs = 60_000,
}: RunDriver): Promise<void> {
  dieOfBugs(log)
  const nowMs = () => performance.now()
  const device = new Device(fd, log)
  const kernel = new Notifier(fd, log)
  const coherence = new Coherence({ kernel, open: state.handles, record: leaseFile, nowMs, log })
  const writeBehind = new WriteBehind({
    client: () => client, // not asked for before it is there: nothing is sent by a constructor
    coherence,
    file: extentFile,
    stepFiles,
    open: state.handles,
    nowMs,
    log,
  })
  const connected = connect(coherence, writeBehind)
  const client: FileClient = readOnly ? readOnlyClient(connected) : connected
  const accessTimes = readOnly ? undefined : new AccessTimes({ client, attributes: coherence, nowNs: wallNs, later })
  const driver = new Driver({
    kernel: device,
    client,
    state,
    coherence,
    directories: new MovedDirectories(kernel),
    writeBehind,
    callers: new Callers(readProcessStatus, nowMs),
    interruptions: new Interruptions(readProcessStatus, nowMs),
    ...(accessTimes === undefined ? {} : { accessTimes }),
    wanted,
    unavailableMs,
    log,
  })
  // Before anything is answered, and once: each RESEND brings all that is unanswered again.
  if (resend) device.notify({ kind: 'RESEND' })
  const end = await device.serve((frame, length) => driver.onMessage(frame, length))
  log.info('kernel.connection-ended', { how: end, unanswered: driver.inFlight })
  await writeBehind.end()
  await accessTimes?.close()
  state.close()
  leaseFile.close()
}

const wallNs = (): bigint => BigInt(Math.floor((performance.timeOrigin + performance.now()) * 1000)) * 1000n

function later(ms: number, run: () => void): () => void {
  const timer = setTimeout(run, ms)
  return () => clearTimeout(timer)
}

function dieOfBugs(log: Log): void {
  const die = (error: unknown) => {
    log.error('driver.bug', { stack: error instanceof Error ? error.stack : String(error) })
    process.kill(process.pid, 'SIGKILL')
  }
  process.on('uncaughtException', die)
  process.on('unhandledRejection', die)
}
