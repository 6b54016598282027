import path from 'node:path'
import { RestartPause } from '../../fs-driver/restart-pause.ts'
import { type Incarnation, incarnation, type NodeId } from '../../proto/ids.ts'
import type { Host } from '../host.ts'
import type { Log } from '../log.ts'
import { newIncarnation } from '../program.ts'
import { adoptChild, type Child, type ChildEnd, lastLine, startChild } from './child.ts'
import { readMark, writeMark } from './mark-file.ts'

/** From SIGTERM to SIGKILL: a server flushes and says goodbye; a disk may be slow. */
const stopMs = 10_000
/** Threads for level and files, in each server. */
const poolThreads = '8'
/** Between two starts by `--restart`: doubled while it does not live long, the first again after a minute of life. */
const restarts = { firstMs: 200, maxMs: 10_000, healthyMs: 60_000 }

export type ServerPhase = 'running' | 'stopped' | 'ended'

export interface KeeperOptions {
  readonly node: NodeId
  readonly host: Host
  readonly log: Log
  /** That process has ended, and nothing of it is left to act. */
  readonly onEnd: (node: NodeId, incarnation: Incarnation) => void
  /** Asked when a server has ended by itself. */
  readonly restart: (exitCode: ChildEnd['exitCode']) => boolean
}

interface Running {
  readonly incarnation: Incarnation
  readonly child: Child
  readonly startedAt: number
}

/**
 * Keeps one file server's process: starts it as a new incarnation, sees its end, stops it. The process outlives a killed
 * `up`; the next one finds it again (S25).
 */
export class ServerKeeper {
  readonly node: NodeId
  readonly #options: KeeperOptions
  #running: Running | undefined
  #phase: ServerPhase = 'stopped'
  #reason = ''
  readonly #pause = new RestartPause(restarts)
  #restartTimer: NodeJS.Timeout | undefined
  #onceEnded: (() => void)[] = []

  constructor(options: KeeperOptions) {
    this.node = options.node
    this.#options = options
  }

  get phase(): ServerPhase {
    return this.#phase
  }

  /** Why it ended; empty while it runs. */
  get reason(): string {
    return this.#reason
  }

  get pid(): number | undefined {
    return this.#running?.child.pid
  }

  get incarnation(): Incarnation | undefined {
    return this.#running?.incarnation
  }

  get address(): string {
    return `unix:${this.#options.host.state.socket(this.node)}`
  }

  /** Takes over a server that an earlier `up` left running. False: there is none, and what there was is dead. */
  adopt(): boolean {
    const mark = readMark(this.#markFile())
    if (mark === undefined) return false
    const former = incarnation(mark)
    const onEnd = (end: ChildEnd): void => this.#ended(former, end)
    const child = adoptChild({ lifeline: this.#lifeline(), mark: former, onEnd })
    if (child === undefined) {
      this.#options.onEnd(this.node, former)
      return false
    }
    this.#begin({ incarnation: former, child, startedAt: performance.now() })
    this.#options.log.info('server.adopted', { node: this.node, pid: child.pid, incarnation: former })
    return true
  }

  /** Starts a new incarnation; whether it comes to serve is seen from its advert. It must not be running. */
  start(): Incarnation {
    if (this.#running !== undefined) throw new Error(`${this.node} is running`)
    const { node, host, log } = this.#options
    clearTimeout(this.#restartTimer)
    const fresh = newIncarnation()
    writeMark(this.#markFile(), fresh)
    const child = startChild({
      args: ['file-server', ...host.args, '--name', node, '--incarnation', fresh],
      env: { UV_THREADPOOL_SIZE: poolThreads },
      output: this.#output(),
      lifeline: this.#lifeline(),
      onEnd: (end) => this.#ended(fresh, end),
    })
    this.#begin({ incarnation: fresh, child, startedAt: performance.now() })
    log.info('server.started', { node, pid: child.pid, incarnation: fresh })
    return fresh
  }

  /** Resolves when its process has ended: by itself after SIGTERM, or killed when that takes too long. */
  async stop(): Promise<void> {
    clearTimeout(this.#restartTimer)
    const running = this.#running
    if (running === undefined) {
      this.#phase = 'stopped'
      return
    }
    const ended = new Promise<void>((resolve) => void this.#onceEnded.push(resolve))
    this.#phase = 'stopped'
    running.child.signal('SIGTERM')
    running.child.signal('SIGCONT') // a stopped process ends only when it goes on
    const timer = setTimeout(() => {
      this.#options.log.error('server.killed', { node: this.node, pid: running.child.pid, afterMs: stopMs })
      running.child.signal('SIGKILL')
    }, stopMs)
    await ended
    clearTimeout(timer)
  }

  #begin(running: Running): void {
    this.#running = running
    this.#phase = 'running'
    this.#reason = ''
  }

  #ended(of: Incarnation, { reason, exitCode }: ChildEnd): void {
    const { node, log, onEnd, restart } = this.#options
    if (this.#running?.incarnation !== of) return
    const livedMs = performance.now() - this.#running.startedAt
    const asked = this.#phase === 'stopped'
    this.#running = undefined
    this.#reason = asked ? '' : [reason, lastLine(this.#output())].filter((part) => part !== '').join(': ')
    if (!asked) this.#phase = 'ended'
    if (asked) log.info('server.stopped', { node, incarnation: of })
    else log.error('server.ended', { node, incarnation: of, reason: this.#reason })
    onEnd(node, of)
    for (const tell of this.#onceEnded.splice(0)) tell()
    if (asked || !restart(exitCode)) return
    this.#pause.ended(livedMs)
    this.#restartTimer = setTimeout(() => void this.start(), this.#pause.next())
  }

  #lifeline(): string {
    return path.join(this.#options.host.state.run, `${this.node}.alive`)
  }

  #output(): string {
    return path.join(path.dirname(this.#options.host.state.log(this.node)), `${this.node}.out`)
  }

  #markFile(): string {
    return path.join(this.#options.host.state.run, `${this.node}.incarnation`)
  }
}
