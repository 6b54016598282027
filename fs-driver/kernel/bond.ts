import { spawn } from 'node:child_process'
import { Socket } from 'node:net'
import type { Log } from '../log.ts'
import { RestartPause } from '../restart-pause.ts'

/** Where driver and supervisor find the connection that they have from each other. */
export const deviceFd = 3
/** One end of a pair of sockets on which nothing is ever written: when it closes, whoever has the other end is dead. */
export const bondFd = 4

/** In the environment of a driver: a `Succession`, as JSON. */
export const successionVariable = 'BANYAN_SUCCESSION'

/** How a driver whose supervisor has died gets another one. */
export interface Succession {
  /** Its program and arguments. It calls `takeOverMount` with its `heritage`. */
  readonly command: readonly string[]
  /** The mount's number in fusectl. */
  readonly connection: number
}

/** In the environment of a supervisor that a driver has started: a `Heritage`, as JSON. */
const heritageVariable = 'BANYAN_HERITAGE'

export interface Heritage {
  readonly connection: number
  /** Its process. */
  readonly driver: number
}

/** What the driver that has started this process leaves to it; undefined: no driver has. */
export function heritage(): Heritage | undefined {
  const text = process.env[heritageVariable]
  return text === undefined ? undefined : (JSON.parse(text) as Heritage)
}

/** Calls `died` once, when the process at the other end is dead. */
export function onceDead(end: Socket, died: () => void): Socket {
  end.on('error', () => {}) // the close tells
  return end.once('close', died).resume()
}

/** Between two supervisors that end at once. */
const pauses = { firstMs: 100, maxMs: 10_000, healthyMs: 60_000 }

/**
 * Supervisor and driver of a mount both hold the connection to the kernel, so that whoever is left starts the other one
 * again. This is the driver's half: when its supervisor has died another one is started, which adopts this process.
 */
export class Bond {
  readonly #succession: Succession
  readonly #log: Log
  readonly #pause = new RestartPause(pauses)
  #timer: NodeJS.Timeout | undefined
  #closed = false

  private constructor(succession: Succession, log: Log) {
    this.#succession = succession
    this.#log = log
  }

  /** undefined: nobody has said what is to be started. */
  static ofThisProcess(log: Log): Bond | undefined {
    const text = process.env[successionVariable]
    if (text === undefined) return undefined
    const bond = new Bond(JSON.parse(text) as Succession, log)
    bond.#watch(new Socket({ fd: bondFd }))
    return bond
  }

  /** The mount is gone: nobody needs to keep it. */
  close(): void {
    this.#closed = true
    clearTimeout(this.#timer)
  }

  #watch(end: Socket): void {
    const since = performance.now()
    onceDead(end, () => this.#later(performance.now() - since)).unref()
  }

  #later(livedMs: number): void {
    if (this.#closed) return
    this.#pause.ended(livedMs)
    this.#timer = setTimeout(() => this.#succeed(), this.#pause.next()).unref()
  }

  #succeed(): void {
    const { command: all, connection } = this.#succession
    const [command = '', ...args] = all
    const heritage: Heritage = { connection, driver: process.pid }
    try {
      const child = spawn(command, args, {
        stdio: ['ignore', 'inherit', 'inherit', deviceFd, 'pipe'],
        env: { ...process.env, [heritageVariable]: JSON.stringify(heritage) },
        cwd: '/',
        detached: true,
      })
      child.on('error', (error) => this.#log.error('supervisor.failed', { reason: error.message }))
      child.unref()
      this.#log.info('supervisor.started', { pid: child.pid })
      this.#watch(child.stdio[bondFd] as Socket) // it is a pipe
    } catch (error) {
      this.#log.error('supervisor.failed', { reason: String(error) }) // no memory for it, perhaps
      this.#later(0)
    }
  }
}
