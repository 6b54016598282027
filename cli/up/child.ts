import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, openSync, readdirSync, readFileSync } from 'node:fs'
import { Failure } from '../failure.ts'
import { livingLifeline, newLifeline, type Watched, watchLifeline } from '../liveness.ts'
import { banyanArgs } from '../program.ts'

/** A process that outlives `up` when `up` is killed, and whose end is seen for certain. */
export interface Child {
  readonly pid: number
  signal(signal: NodeJS.Signals): void
}

export interface ChildPlan {
  /** Another program than ours. */
  readonly program?: string
  /** Of ours, the command and its arguments. One of them is `mark`. */
  readonly args: readonly string[]
  readonly env?: NodeJS.ProcessEnv
  /** Where its stdout and stderr go: what a crash leaves, beside the log. */
  readonly output: string
  readonly lifeline: string
  /** Called once, later. Nothing of the process is left to act then (S17). */
  readonly onEnd: (end: ChildEnd) => void
}

export interface ChildEnd {
  /** For a person. */
  readonly reason: string
  /** undefined: ended by a signal, or another process's child. */
  readonly exitCode: number | undefined
}

/** After its files are closed the system has only its exit code to tell. */
const exitMs = 100

/** Starts it in a session of its own: Ctrl-C in a terminal reaches `up` only. */
export function startChild(plan: ChildPlan): Child {
  const { reader, writer } = newLifeline(plan.lifeline)
  const output = openSync(plan.output, 'a', 0o600)
  const args = plan.program === undefined ? banyanArgs(...plan.args) : plan.args
  const child = spawn(plan.program ?? process.execPath, args, {
    detached: true,
    cwd: '/',
    stdio: ['ignore', output, output, writer],
    env: { ...process.env, ...plan.env },
  })
  closeSync(output)
  closeSync(writer)
  let over = false
  let timer: NodeJS.Timeout | undefined
  const end = (reason: string): void => {
    if (over) return
    over = true
    clearTimeout(timer)
    lifeline.close()
    plan.onEnd({ reason, exitCode: child.exitCode ?? undefined })
  }
  // Both come; the exit knows more, so the pipe's end gives it a moment's precedence.
  const lifeline = watchLifeline(reader, () => {
    timer = setTimeout(() => end(howItEnded(child)), exitMs)
  })
  child.on('exit', () => end(howItEnded(child)))
  child.on('error', (error) => end(`could not be started: ${error.message}`))
  return { pid: child.pid ?? 0, signal: (signal) => void child.kill(signal) }
}

/**
 * One that an earlier `up` started with the same lifeline; undefined when it does not live. `mark`: see `ChildPlan`.
 *
 * @throws Failure when it lives and can't be found
 */
export function adoptChild(
  plan: Pick<ChildPlan, 'lifeline' | 'onEnd'> & { readonly mark: string },
): (Child & Watched) | undefined {
  const reader = livingLifeline(plan.lifeline)
  if (reader === undefined) return undefined
  const pid = pidNaming(plan.mark)
  if (pid === undefined) {
    closeSync(reader)
    throw new Failure(`a process holds ${plan.lifeline} and does not say which it is`, {
      meaning: 'It may be a file server, so no other is started in its place',
      remedy: `Find it with "fuser ${plan.lifeline}", end it, then run this again`,
    })
  }
  const lifeline = watchLifeline(reader, () => {
    plan.onEnd({ reason: 'its process has ended', exitCode: undefined })
  })
  return {
    pid,
    close: () => lifeline.close(),
    signal(signal) {
      try {
        process.kill(pid, signal)
      } catch {
        // It has ended; the lifeline tells.
      }
    },
  }
}

function howItEnded(child: ChildProcess): string {
  if (child.signalCode !== null) return `was ended by ${child.signalCode}`
  return child.exitCode === null ? 'ended' : `ended with exit code ${child.exitCode}`
}

/** The process that has `mark`, which no other ever had, on its command line. */
function pidNaming(mark: string): number | undefined {
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name))
  const found = pids.find((pid) => {
    try {
      return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').includes(mark)
    } catch {
      return false // it has ended meanwhile
    }
  })
  return found === undefined ? undefined : Number(found)
}

/** What a process said last: why it ended, if it says so. */
export function lastLine(file: string): string {
  try {
    return readFileSync(file, 'utf8').trimEnd().split('\n').at(-1) ?? ''
  } catch {
    return ''
  }
}
