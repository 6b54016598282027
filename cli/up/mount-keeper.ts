import path from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { probeMount } from '../../fs-driver/kernel/mount.ts'
import type { Host } from '../host.ts'
import type { Log } from '../log.ts'
import { type MountWords, mountWords } from '../mount-words.ts'
import { newIncarnation } from '../program.ts'
import { adoptChild, type Child, type ChildEnd, type ChildPlan, lastLine, startChild } from './child.ts'
import { readMark, writeMark } from './mark-file.ts'

/** From SIGTERM to SIGKILL: the mount waits for those who have files open in it, then aborts; see fs-driver/kernel. */
const stopMs = 20_000
/** One that was killed is followed by another, which does no better. */
const roundsMax = 3
/** A driver sees at once that its supervisor has died; another one is there within a second or two. */
const seekMs = 10_000
const seekAgainMs = 100

export interface MountKeeperOptions extends MountWords {
  /** Of its files: no other mount of this supervisor has it. */
  readonly name: string
  readonly host: Host
  readonly log: Log
  /** It ended, and `stop` had not asked for it: somebody unmounted it, or it failed. `reason` is for a person. */
  readonly onEnd: (end: { readonly reason: string; readonly unmounted: boolean }) => void
}

/** Keeps the process of one mount of a supervisor. Like a server it outlives a killed `up` and is found again. */
export class MountKeeper {
  readonly #options: MountKeeperOptions
  #child: Child | undefined
  #stopping = false
  /** Ends when it is known whether there is another process for the mount; then that is `#child`. */
  #seeking: Promise<boolean> = Promise.resolve(false)
  #onceEnded: (() => void)[] = []

  constructor(options: MountKeeperOptions) {
    this.#options = options
  }

  get dir(): string {
    return this.#options.dir
  }

  get pid(): number | undefined {
    return this.#child?.pid
  }

  /** Takes over the mount that an earlier `up` left, if it is at the same place. */
  adopt(): boolean {
    const mark = readMark(this.#file('mark'))
    if (mark === undefined) return false
    const child = adoptChild({ lifeline: this.#file('alive'), mark, onEnd: (end) => this.#ended(end) })
    if (child === undefined) return false
    if (!mark.endsWith(`:${this.#options.dir}`)) {
      child.signal('SIGTERM') // it was mounted elsewhere then
      child.close()
      return false
    }
    this.#child = child
    this.#options.log.info('mount.adopted', { pid: child.pid })
    return true
  }

  /** Whether it comes to be mounted is seen from its registration. */
  start(): void {
    const { dir, host, log } = this.#options
    const mark = `${newIncarnation()}:${dir}`
    writeMark(this.#file('mark'), mark)
    const plan: ChildPlan = {
      args: ['mount', ...mountWords(this.#options, host), '--mark', mark, '--lifeline', this.#file('alive')],
      output: this.#output(),
      lifeline: this.#file('alive'),
      onEnd: (end) => this.#ended(end),
    }
    this.#child = startChild(plan)
    log.info('mount.started', { pid: this.#child.pid })
  }

  /** Resolves when it is unmounted and its process has ended. */
  async stop(): Promise<void> {
    this.#stopping = true
    for (let round = 0; round < roundsMax; round++) {
      await this.#seeking
      if (this.#child === undefined) return
      await this.#stop(this.#child)
    }
  }

  async #stop(child: Child): Promise<void> {
    const ended = new Promise<void>((resolve) => void this.#onceEnded.push(resolve))
    child.signal('SIGTERM')
    child.signal('SIGCONT')
    const timer = setTimeout(() => {
      this.#options.log.error('mount.killed', { pid: child.pid, afterMs: stopMs })
      child.signal('SIGKILL')
    }, stopMs)
    await ended
    clearTimeout(timer)
  }

  #ended({ reason, exitCode }: ChildEnd): void {
    this.#child = undefined
    const unmounted = exitCode === 0
    this.#seeking = unmounted
      ? Promise.resolve(false)
      : this.#seek().catch((error: unknown) => {
          this.#options.log.error('mount.not-adopted', { dir: this.dir, error })
          return false
        })
    for (const tell of this.#onceEnded.splice(0)) tell()
    void this.#seeking.then((found) => {
      if (found || this.#stopping) return
      const said = unmounted ? 'it was unmounted' : [reason, lastLine(this.#output())].join(': ')
      this.#options.log.info('mount.ended', { dir: this.#options.dir, reason: said })
      this.#options.onEnd({ reason: said, unmounted })
    })
  }

  /** Where the process alone has died, the mount's driver starts another one (Bond), and that is taken over. */
  async #seek(): Promise<boolean> {
    const until = performance.now() + seekMs
    while (performance.now() < until) {
      if (this.adopt()) return true
      if ((await probeMount(this.dir)) !== 'alive') return false
      await delay(seekAgainMs)
    }
    this.#options.log.error('mount.not-adopted', { dir: this.dir, afterMs: seekMs })
    return false
  }

  #file(ending: string): string {
    return path.join(this.#options.host.state.run, `${this.#options.name}.${ending}`)
  }

  #output(): string {
    const { host, name } = this.#options
    return path.join(path.dirname(host.state.log(name)), `${name}.out`)
  }
}
