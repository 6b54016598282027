import { spawn } from 'node:child_process'

export interface Ended {
  /** undefined: it had to be killed, because it took longer than it was given. */
  readonly code: number | undefined
  /** What it said on stderr, in one line. */
  readonly said: string
}

/** Runs a program of the system and waits for its end, at most `limitMs`. @throws if it cannot be started */
export function runProgram(
  command: string,
  args: readonly string[],
  how: { limitMs: number; fd?: number },
): Promise<Ended> {
  return new Promise((resolve, reject) => {
    const stdio: ('ignore' | 'pipe' | number)[] = ['ignore', 'ignore', 'pipe']
    if (how.fd !== undefined) stdio.push(how.fd)
    const child = spawn(command, args, { stdio, cwd: '/', env: { ...process.env, LC_ALL: 'C' } })
    let said = ''
    let late = false
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      said += text
    })
    const finish = (code: number | null) => {
      clearTimeout(timer)
      child.stderr?.destroy()
      child.unref()
      resolve({ code: late ? undefined : (code ?? -1), said: said.trim().replace(/\s*\n\s*/g, '; ') })
    }
    // A program that waits for a file system cannot be killed either: its end is not waited for.
    const timer = setTimeout(() => {
      late = true
      child.kill('SIGKILL')
      finish(null)
    }, how.limitMs)
    child.once('error', (error) => {
      clearTimeout(timer)
      reject(new Error(`${command} cannot be run: ${error.message}`, { cause: error }))
    })
    child.once('close', finish)
  })
}
