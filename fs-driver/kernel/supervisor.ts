import type { ChildProcess } from 'node:child_process'
import { spawn } from 'node:child_process'
import type { Log } from '../log.ts'
import { closeDevice, openDevice } from './device.ts'
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
/** Where the driver finds the connection. */
export const deviceFd = 3

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
  readonly env?: NodeJS.ProcessEnv
  /** Where the driver says what the kernel has by leases (LeaseFile): watched, in case it stops. */
  readonly leaseFile?: string
  readonly log: Log
  /** A driver died and another one takes its place; `pid` is the dead one. */
  readonly onDriverExit?: (exit: DriverExit) => void
}

export interface DriverExit {
  readonly pid: number
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
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
 * may die without anybody noticing. It must itself never use the mount.
 *
 * @throws Error, in a sentence for the user
 */
export async function superviseMount(options: MountOptions): Promise<Mounted> {
  const dir = canonicalMountPoint(options.dir)
  await prepareMountPoint(dir)
  const fd = openDevice()
  try {
    const connection = await mountDevice(fd, { dir, name: options.name, readOnly: options.readOnly ?? false })
    return new Supervisor({ ...options, dir }, fd, connection)
  } catch (error) {
    closeDevice(fd)
    throw error
  }
}

class Supervisor implements Mounted {
  readonly dir: string
  readonly ended: Promise<MountEnd>
  readonly #options: MountOptions
  readonly #fd: number
  readonly #connection: number
  readonly #watch: LeaseWatch | undefined
  #child: ChildProcess
  /** Of `#child`; what comes after the first call is passed over. */
  #childEnded: (code: number | null, signal: NodeJS.Signals | null) => void = () => {}
  #deaths: number[] = []
  #ending = false
  /** The mount is gone, and the descriptor closed: its number may be another file's. */
  #over = false
  #end: (how: MountEnd) => void = () => {}

  constructor(options: MountOptions, fd: number, connection: number) {
    this.dir = options.dir
    this.#options = options
    this.#fd = fd
    this.#connection = connection
    this.ended = new Promise((resolve) => {
      this.#end = resolve
    })
    this.#child = this.#spawn({ resend: false })
    const { leaseFile, log } = options
    if (leaseFile === undefined) return
    this.#watch = new LeaseWatch({
      fd,
      leaseFile,
      log,
      driver: () => this.pid(),
      onDying: () => this.#childEnded(null, 'SIGKILL'),
      abort: () => this.#abort(),
    })
  }

  pid(): number {
    return this.#child.pid ?? 0
  }

  async unmount({ lingerMs: limitMs = lingerMs }: { lingerMs?: number } = {}): Promise<void> {
    if (this.#over) return
    this.#ending = true
    if (this.#isMounted() && !(await unmount(this.dir))) await this.#clear()
    if (!this.#over && isConnected(this.#fd) && !(await this.#endsWithin(limitMs))) await this.#abort()
    if (!(await this.#endsWithin(exitLimitMs))) {
      await this.#abort()
      this.#child.kill('SIGKILL')
    }
    await this.ended
  }

  #spawn({ resend }: { resend: boolean }): ChildProcess {
    const [command = '', ...args] = this.#options.driverCommand
    const child = spawn(command, args, {
      stdio: ['ignore', 'inherit', 'inherit', this.#fd],
      env: {
        ...process.env,
        ...this.#options.env,
        UV_THREADPOOL_SIZE: driverThreads,
        [resendVariable]: resend ? '1' : '0',
      },
      cwd: '/',
      detached: true, // Ctrl-C is for us: the driver ends when the mount has ended
    })
    const { log } = this.#options
    log.info('driver.started', { dir: this.dir, pid: child.pid, resend })
    let over = false
    const onEnd = (code: number | null, signal: NodeJS.Signals | null) => {
      if (over) return
      over = true
      this.#onExit({ pid: child.pid ?? 0, code, signal })
    }
    this.#childEnded = onEnd
    child.once('exit', onEnd)
    child.once('error', (error) => {
      log.error('driver.failed', { dir: this.dir, reason: error.message })
      onEnd(null, null)
    })
    return child
  }

  /** Code 0 is the driver's word that the kernel has ended the connection. */
  #onExit(exit: DriverExit): void {
    const { log, onDriverExit } = this.#options
    if (exit.code === 0 || this.#ending) {
      log.info('driver.ended', { dir: this.dir, ...exit })
      void this.#clear().finally(() => this.#finish('unmounted'))
      return
    }
    log.error('driver.died', { dir: this.dir, ...exit })
    const now = performance.now()
    this.#deaths = this.#deaths.filter((at) => now - at < deathsWindowMs)
    this.#deaths.push(now)
    if (this.#deaths.length >= deathsMax) return this.#giveUp()
    this.#child = this.#spawn({ resend: true })
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
