import type { Log } from '../log.ts'
import { deviceFd, type Heritage, type Succession, successionVariable } from './bond.ts'
import { closeDevice, openDevice } from './device.ts'
import { type DriverExit, DriverProcess } from './driver-process.ts'
import { kill } from './kill.ts'
import { LeaseWatch } from './lease-watch.ts'
import {
  abortConnection,
  canonicalMountPoint,
  isConnected,
  mountDevice,
  prepareMountPoint,
  unmount,
  unmountLazily,
} from './mount.ts'
import { mountAt } from './mount-table.ts'

/** Set to 1 in the environment of a driver that takes over from one that died: it must have requests sent again. */
export const resendVariable = 'BANYAN_DRIVER_RESEND'
/**
 * Two of the pool's threads wait in reads of /dev/fuse; the rest are for files and level. Node reads it only at the
 * start of a process.
 */
const driverThreads = '16'

/** A driver that dies so often so fast will not get better: the mount is given up. */
const deathsMax = 10
const deathsWindowMs = 10_000

/** How long programs that still use a mount which is going away may go on; then it is aborted. */
const lingerMs = 5_000
const exitLimitMs = 3_000

export interface MountOptions {
  readonly dir: string
  /** Shown as the source in the mount table. */
  readonly name: string
  /** Whoever would change something gets EROFS, from the kernel. The driver must be told by its command. */
  readonly readOnly?: boolean
  /** The driver's program and arguments; it calls runDriver with descriptor `deviceFd`. */
  readonly driverCommand: readonly string[]
  /** What the driver starts when this process dies: a program that calls takeOverMount. Without it, nothing. */
  readonly successor?: readonly string[]
  readonly env?: NodeJS.ProcessEnv
  /** Where the driver says what the kernel has by leases (LeaseFile): watched, in case it stops. */
  readonly leaseFile?: string
  readonly log: Log
  /** A driver died and another one takes its place; `pid` is the dead one. */
  readonly onDriverExit?: (exit: DriverExit) => void
}

export interface Mounted {
  /** As the mount table has it. */
  readonly dir: string
  /** Of the driver that serves now. */
  pid(): number
  /**
   * Ends the mount: politely; if it is in use, by taking it out of the tree and waiting `lingerMs` for those who have
   * files open; then by abort. When it resolves the mount is gone and no driver lives.
   */
  unmount(how?: { lingerMs?: number }): Promise<void>
  /** Resolves when the mount is gone, by whatever cause; never rejects. */
  readonly ended: Promise<MountEnd>
}

/** `given-up`: the driver died again and again, and what waited for it got ENOTCONN. */
export type MountEnd = 'unmounted' | 'given-up'

/**
 * Mounts, and keeps a driver running for as long as the mount exists. This process holds the connection, so a driver
 * may die without anybody noticing; the driver holds it, too, and so may this process. It must itself never use the mount.
 *
 * @throws Error, in a sentence for the user
 */
export async function superviseMount(options: MountOptions): Promise<Mounted> {
  const dir = canonicalMountPoint(options.dir)
  await prepareMountPoint(dir)
  const fd = openDevice()
  try {
    const connection = await mountDevice(fd, { dir, name: options.name, readOnly: options.readOnly ?? false })
    return new Supervisor({ ...options, dir }, { fd, connection })
  } catch (error) {
    closeDevice(fd)
    throw error
  }
}

/** Keeps the mount of a driver whose supervisor has died, and which has started this process for that. */
export function takeOverMount(options: MountOptions, { connection, driver }: Heritage): Mounted {
  return new Supervisor(options, { fd: deviceFd, connection, driver })
}

class Supervisor implements Mounted {
  readonly dir: string
  readonly ended: Promise<MountEnd>
  readonly #options: MountOptions
  readonly #fd: number
  readonly #connection: number
  readonly #watch: LeaseWatch | undefined
  #driver: DriverProcess
  #deaths: number[] = []
  #ending = false
  /** The mount is gone, and the descriptor closed: its number may be another file's. */
  #over = false
  #end: (how: MountEnd) => void = () => {}

  constructor(
    options: MountOptions,
    { fd, connection, driver }: { readonly fd: number; readonly connection: number; readonly driver?: number },
  ) {
    this.dir = options.dir
    this.#options = options
    this.#fd = fd
    this.#connection = connection
    this.ended = new Promise((resolve) => {
      this.#end = resolve
    })
    const { leaseFile, log } = options
    if (driver === undefined) this.#driver = this.#start({ resend: false })
    else {
      this.#driver = DriverProcess.adopt(driver, (exit) => this.#onExit(exit))
      log.info('driver.adopted', { dir: this.dir, pid: driver })
    }
    if (leaseFile === undefined) return
    this.#watch = new LeaseWatch({
      fd,
      leaseFile,
      log,
      driver: () => this.pid(),
      onDying: () => this.#driver.end(null, 'SIGKILL'),
      abort: () => this.#abort(),
    })
  }

  pid(): number {
    return this.#driver.pid
  }

  async unmount({ lingerMs: limitMs = lingerMs }: { lingerMs?: number } = {}): Promise<void> {
    if (this.#over) return
    this.#ending = true
    if (this.#isMounted() && !(await unmount(this.dir))) await this.#clear()
    if (!this.#over && isConnected(this.#fd) && !(await this.#endsWithin(limitMs))) await this.#abort()
    if (!(await this.#endsWithin(exitLimitMs))) {
      await this.#abort()
      kill(this.#driver.pid)
    }
    await this.ended
  }

  #start({ resend }: { resend: boolean }): DriverProcess {
    const { driverCommand, env, log, successor } = this.#options
    const succession: Succession | undefined = successor && { command: successor, connection: this.#connection }
    const started = DriverProcess.start({
      command: driverCommand,
      fd: this.#fd,
      env: {
        ...process.env,
        ...env,
        UV_THREADPOOL_SIZE: driverThreads,
        [resendVariable]: resend ? '1' : '0',
        [successionVariable]: succession && JSON.stringify(succession),
      },
      log,
      onEnd: (exit) => this.#onExit(exit),
    })
    log.info('driver.started', { dir: this.dir, pid: started.pid, resend })
    return started
  }

  /** Code 0 is the driver's word that the kernel has ended the connection; who was adopted leaves us none. */
  #onExit(exit: DriverExit): void {
    const { log, onDriverExit } = this.#options
    if (exit.code === 0 || this.#ending || !isConnected(this.#fd)) {
      log.info('driver.ended', { dir: this.dir, ...exit })
      void this.#clear().finally(() => this.#finish('unmounted'))
      return
    }
    log.error('driver.died', { dir: this.dir, ...exit })
    const now = performance.now()
    this.#deaths = this.#deaths.filter((at) => now - at < deathsWindowMs)
    this.#deaths.push(now)
    if (this.#deaths.length >= deathsMax) return this.#giveUp()
    this.#driver = this.#start({ resend: true })
    onDriverExit?.(exit)
  }

  #giveUp(): void {
    const { log } = this.#options
    log.error('mount.given-up', { dir: this.dir, deaths: this.#deaths.length, withinMs: deathsWindowMs })
    this.#ending = true
    void this.#abort()
      .then(() => this.#clear())
      .finally(() => this.#finish('given-up'))
  }

  /** A connection that has ended by abort leaves a dead mount in the tree. */
  async #clear(): Promise<void> {
    if (!this.#isMounted()) return
    await unmountLazily(this.dir).catch((error: Error) => {
      this.#options.log.error('mount.not-unmounted', { dir: this.dir, reason: error.message })
    })
  }

  /** Closes the connection: with no driver left, whoever waits for it gets ENOTCONN. */
  #finish(how: MountEnd): void {
    this.#over = true
    this.#watch?.close()
    closeDevice(this.#fd)
    this.#end(how)
  }

  async #abort(): Promise<void> {
    if (this.#over || !isConnected(this.#fd)) return
    this.#options.log.info('mount.aborted', { dir: this.dir, connection: this.#connection })
    await abortConnection(this.#connection).catch((error: Error) => {
      this.#options.log.error('mount.not-aborted', { dir: this.dir, reason: error.message })
    })
  }

  #isMounted(): boolean {
    return mountAt(this.dir)?.device === `0:${this.#connection}`
  }

  #endsWithin(limitMs: number): Promise<boolean> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => resolve(false), limitMs)
      void this.ended.then(() => {
        clearTimeout(timer)
        resolve(true)
      })
    })
  }
}
