import { spawn } from 'node:child_process'
import { Socket } from 'node:net'
import type { Log } from '../log.ts'
import { bondFd, onceDead } from './bond.ts'

export interface DriverExit {
  readonly pid: number
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

export interface DriverPlan {
  readonly command: readonly string[]
  readonly env: NodeJS.ProcessEnv
  /** The connection to the kernel. */
  readonly fd: number
  readonly log: Log
  /** Called once. */
  readonly onEnd: (exit: DriverExit) => void
}

/** The process that serves a mount at present: started by us, or by a supervisor that has died. */
export class DriverProcess {
  readonly pid: number
  readonly #onEnd: DriverPlan['onEnd']
  #over = false

  private constructor(pid: number, onEnd: DriverPlan['onEnd']) {
    this.pid = pid
    this.#onEnd = onEnd
  }

  static start({ command: [command = '', ...args], env, fd, log, onEnd }: DriverPlan): DriverProcess {
    const child = spawn(command, args, {
      stdio: ['ignore', 'inherit', 'inherit', fd, 'pipe'],
      env,
      cwd: '/',
      detached: true, // Ctrl-C is for us: the driver ends when the mount has ended
    })
    const started = new DriverProcess(child.pid ?? 0, onEnd)
    child.stdio[bondFd]?.on('error', () => {}) // its exit tells
    child.once('exit', (code, signal) => started.end(code, signal))
    child.once('error', (error) => {
      log.error('driver.failed', { reason: error.message })
      started.end(null, null)
    })
    return started
  }

  /** The one that has started us in place of its supervisor: the bond with it is open in this process. */
  static adopt(pid: number, onEnd: DriverPlan['onEnd']): DriverProcess {
    const adopted = new DriverProcess(pid, onEnd)
    onceDead(new Socket({ fd: bondFd }), () => adopted.end(null, null))
    return adopted
  }

  /** It serves no more, whether the system has said so or not. What comes after the first call is passed over. */
  end(code: number | null, signal: NodeJS.Signals | null): void {
    if (this.#over) return
    this.#over = true
    this.#onEnd({ pid: this.pid, code, signal })
  }
}
