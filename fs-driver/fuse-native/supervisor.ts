import { type ChildProcess, spawn } from 'node:child_process'
import { bondFd } from '../kernel/bond.ts'
import { canonicalMountPoint, prepareMountPoint } from '../kernel/mount.ts'
import { mountAt } from '../kernel/mount-table.ts'
import { runProgram } from '../kernel/program.ts'
import type { MountEnd, Mounted, MountOptions } from '../kernel/supervisor.ts'

/** libfuse's program is asked, since umount(8) is root's alone. */
const unmountLimitMs = 3_000
const lingerMs = 5_000
const mountLimitMs = 10_000
const lookEveryMs = 20

/**
 * The same for a driver that mounts through libfuse: the connection is its own, so that a mount ends with its driver.
 * Resolves when it is mounted.
 *
 * @throws Error, in a sentence for the user
 */
export async function superviseNative(options: MountOptions): Promise<Mounted> {
  const dir = canonicalMountPoint(options.dir)
  await prepareMountPoint(dir)
  const supervisor = new NativeSupervisor({ ...options, dir })
  await supervisor.mounted()
  return supervisor
}

class NativeSupervisor implements Mounted {
  readonly dir: string
  readonly ended: Promise<MountEnd>
  readonly #child: ChildProcess
  #ending = false
  #over = false
  #said = ''

  constructor({ dir, driverCommand, env, log }: MountOptions) {
    this.dir = dir
    const [command = '', ...args] = driverCommand
    this.#child = spawn(command, args, {
      stdio: ['ignore', 'inherit', 'pipe', 'ignore', 'pipe'],
      env: { ...process.env, ...env },
      cwd: '/',
      detached: true, // Ctrl-C is for us: the driver ends when the mount has ended
    })
    this.#child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#said = (this.#said + text).slice(-2000)
      process.stderr.write(text)
    })
    this.#child.stdio[bondFd]?.on('error', () => {}) // its exit tells
    log.info('driver.started', { dir, pid: this.#child.pid })
    this.ended = new Promise((resolve) => {
      const end = (code: number | null): void => {
        if (this.#over) return
        this.#over = true
        if (code !== 0 && !this.#ending) log.error('driver.died', { dir, code, said: this.#said.trim() })
        void fusermount('-uz', dir).finally(() => resolve(code === 0 || this.#ending ? 'unmounted' : 'given-up'))
      }
      this.#child.once('exit', end)
      this.#child.once('error', () => end(null))
    })
  }

  pid(): number {
    return this.#child.pid ?? 0
  }

  async mounted(): Promise<void> {
    const until = performance.now() + mountLimitMs
    while (mountAt(this.dir) === undefined) {
      if (this.#over)
        throw new Error(this.#said.trim().replace(/\s*\n(banyan: )?/g, '; ') || 'the driver ended at once')
      if (performance.now() > until) {
        this.#child.kill('SIGKILL')
        throw new Error(`mounting at ${this.dir} through libfuse took longer than ${mountLimitMs / 1000} s`)
      }
      await pause(lookEveryMs)
    }
  }

  async unmount({ lingerMs: limitMs = lingerMs }: { lingerMs?: number } = {}): Promise<void> {
    this.#ending = true
    // Lazily when it is busy: who has files open goes on with them until the driver ends.
    if (!this.#over && !(await fusermount('-u', this.dir))) await fusermount('-uz', this.dir)
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), limitMs)
    await this.ended
    clearTimeout(timer)
  }
}

/** @returns whether it did what it was asked */
export async function fusermount(how: '-u' | '-uz', dir: string): Promise<boolean> {
  if (mountAt(dir) === undefined) return true
  const { code } = await runProgram('fusermount', [how, '--', dir], { limitMs: unmountLimitMs })
  return code === 0
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))
