import { Coherence } from '../cache/coherence.ts'
import { MovedInodes } from '../cache/moved-inodes.ts'
import { Bond } from '../kernel/bond.ts'
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
import { AccessTimes, type KnownAttributes } from './access-times.ts'
import { Callers } from './caller.ts'
import { Driver } from './driver.ts'
import type { DriverState } from './driver-state.ts'
import { Interruptions } from './interruptions.ts'
import { planOf } from './plan.ts'
import { Places, planInTree } from './plan-in-tree.ts'
import { readProcessStatus } from './process-status.ts'
import { renaming } from './system-call.ts'
import { SharedKernel, VolumeDrivers } from './volume-drivers.ts'

/** What a mount needs of one volume. */
export interface DrivenVolume {
  /** Makes the way to the files. It tells `leases` what is leased, or nothing, and asks `state` what is open. */
  readonly connect: (leases: LeaseHolder, holds: HoldHolder) => FileClient
  /** Closed by the driver, as the others. */
  readonly extentFile: ExtentFile
  readonly stepFiles: StepFiles
}

/** Another volume in the tree; `connect` gets and gives inodes as the mount numbers them. */
export interface AttachedVolume extends DrivenVolume {
  readonly number: number
  readonly parent: bigint
  readonly name: Uint8Array
}

export interface RunDriver extends DrivenVolume {
  /** The connection, from the supervisor. */
  readonly fd: number
  /** Closed here, as all files. */
  readonly state: DriverState
  readonly leaseFile: LeaseFile
  /** Called once, before the kernel is heard: volumes are attached by what it is given, now or later. */
  readonly others?: (attach: (volume: AttachedVolume) => void) => void
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
export async function runDriver(options: RunDriver): Promise<void> {
  const { fd, leaseFile, log, others, resend, state } = options
  dieOfBugs(log)
  const device = new Device(fd, log)
  const kernel = new Notifier(fd, log)
  const places = new Places()
  const shared = {
    connection: new SharedKernel(device),
    kernel,
    places,
    callers: new Callers(readProcessStatus, nowMs),
    interruptions: new Interruptions(readProcessStatus, nowMs),
  }
  const first = driven(options, 0, { options, shared })
  const all = [first]
  const drivers = new VolumeDrivers(device, places, first.driver)
  others?.((attached) => {
    const { name, number, parent } = attached
    const volume = driven(attached, number, { options, shared })
    all.push(volume)
    drivers.add(number, volume.driver)
    places.add(parent, name, number)
    kernel.forgetNames() // one of them may be of the place
  })
  // Before anything is answered, and once: each RESEND brings all that is unanswered again.
  if (resend) device.notify({ kind: 'RESEND' })
  const bond = Bond.ofThisProcess(log)
  const waits = setInterval(() => sayWaits(drivers, log), waitMs / 2)
  const end = await device.serve((frame, length) => drivers.onMessage(frame, length))
  bond?.close()
  clearInterval(waits)
  log.info('kernel.connection-ended', { how: end, unanswered: drivers.inFlight })
  await Promise.all(all.map(({ writeBehind }) => writeBehind.end()))
  await Promise.all(all.map(async ({ accessTimes }) => await accessTimes?.close()))
  state.close()
  leaseFile.close()
}

/** After so long a request is said to wait; of many at once, so many are. */
const waitMs = 10_000
const waitsSaidMax = 8

interface Shared {
  readonly connection: SharedKernel
  readonly kernel: Notifier
  readonly places: Places
  readonly callers: Callers
  readonly interruptions: Interruptions
}

interface Driven {
  readonly driver: Driver
  readonly writeBehind: WriteBehind
  readonly accessTimes: AccessTimes | undefined
}

/** All that one volume has of its own in a mount. */
function driven(
  { connect, extentFile, stepFiles }: DrivenVolume,
  number: number,
  { options, shared }: { readonly options: RunDriver; readonly shared: Shared },
): Driven {
  const { leaseFile, log, readOnly = false, state, unavailableMs = 60_000, wanted = wantedCapabilities } = options
  const { callers, connection, interruptions, kernel, places } = shared
  const coherence = new Coherence({ kernel, open: state.handles, record: leaseFile.of(number), nowMs, log })
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
  const attributes: KnownAttributes = {
    attributes: (ino) => writeBehind.attributes(ino) ?? coherence.attributes(ino),
    wasRead: (ino, atNs) => coherence.wasRead(ino, atNs),
    readIsTold: (ino, atNs) => {
      writeBehind.readIsTold(ino, atNs)
      coherence.readIsTold(ino, atNs)
    },
    forgetRead: (ino) => coherence.forgetRead(ino),
  }
  const accessTimes = readOnly ? undefined : new AccessTimes({ client, attributes, nowNs: wallNs, later })
  const driver = new Driver({
    kernel: connection.share(),
    client,
    state,
    coherence,
    moved: new MovedInodes({ kernel, entry: (dir, name) => coherence.entry(dir, name), renaming }),
    writeBehind,
    callers,
    interruptions,
    ...(accessTimes === undefined ? {} : { accessTimes }),
    plan: (request) => (places.isEmpty ? planOf(request) : planInTree(places, request)),
    wanted,
    unavailableMs,
    nowMs,
    log,
  })
  return { driver, writeBehind, accessTimes }
}

const nowMs = (): number => performance.now()
const wallNs = (): bigint => BigInt(Math.floor((performance.timeOrigin + performance.now()) * 1000)) * 1000n

function later(ms: number, run: () => void): () => void {
  const timer = setTimeout(run, ms)
  return () => clearTimeout(timer)
}

/** Whoever looks for what a hanging program waits for finds it in the log. */
function sayWaits(drivers: VolumeDrivers, log: Log): void {
  for (const { forMs, ino, op, pid } of drivers.waitingFor(waitMs).slice(0, waitsSaidMax))
    log.error('request.waits', { op, ino: String(ino), by: pid, forMs })
}

function dieOfBugs(log: Log): void {
  const die = (error: unknown) => {
    log.error('driver.bug', { stack: error instanceof Error ? error.stack : String(error) })
    process.kill(process.pid, 'SIGKILL')
  }
  process.on('uncaughtException', die)
  process.on('unhandledRejection', die)
}
