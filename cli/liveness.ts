import { spawnSync } from 'node:child_process'
import { closeSync, constants, existsSync, openSync, readSync, rmSync } from 'node:fs'
import { Socket } from 'node:net'
import { codeOf, Failure } from './failure.ts'

/**
 * Tells when a process ends, also one that is not our child: it inherits the only writing end of a named pipe and never
 * closes it, so the end of the pipe is the end of the process, and of nothing less (S17). A process id proves nothing:
 * it may be somebody else's by now.
 */
export interface Watched {
  /** Stops watching; the process stays. */
  close(): void
}

/** The writing end for a process about to be started: pass it on, then close it here. */
export function newLifeline(file: string): { readonly reader: number; readonly writer: number } {
  rmSync(file, { force: true })
  const made = spawnSync('mkfifo', ['-m', '600', file])
  if (made.status !== 0) {
    throw new Failure(`cannot make the pipe ${file}`, {
      meaning: 'No process was started',
      remedy: 'See whether its folder is writable',
    })
  }
  const reader = openSync(file, constants.O_RDONLY | constants.O_NONBLOCK)
  const writer = openSync(file, constants.O_WRONLY | constants.O_NONBLOCK)
  return { reader, writer }
}

/** The reading end of a process that an earlier `up` started; undefined when no such process lives. */
export function livingLifeline(file: string): number | undefined {
  if (!existsSync(file)) return undefined
  const reader = openSync(file, constants.O_RDONLY | constants.O_NONBLOCK)
  try {
    readSync(reader, Buffer.alloc(1)) // 0 bytes: nobody has it open for writing
  } catch (error) {
    if (codeOf(error) === 'EAGAIN') return reader // somebody has, and nothing is ever written
    throw error
  }
  closeSync(reader)
  return undefined
}

/** Calls `ended` once, later, when no process holds the writing end any more. Takes over `reader`. */
export function watchLifeline(reader: number, ended: () => void): Watched {
  const pipe = new Socket({ fd: reader, readable: true, writable: false })
  let watching = true
  const end = (): void => {
    if (!watching) return
    watching = false
    pipe.destroy()
    ended()
  }
  pipe.on('end', end).on('error', end).on('close', end).resume()
  return {
    close() {
      watching = false
      pipe.destroy()
    },
  }
}
