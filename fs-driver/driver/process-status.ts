import { readFileSync } from 'node:fs'

/** Of /proc/<pid>/status, see proc_pid_status(5). */
export interface ProcessStatus {
  readonly groups: readonly number[]
  /** A signal is on its way that will end the process. */
  readonly dying: boolean
}

const signalBit = (signal: number): bigint => 1n << BigInt(signal - 1)
const sigkill = signalBit(9)
/** Those that dump core; any other deadly one is turned into SIGKILL at once (kernel/signal.c, complete_signal). */
const coreSignals = [3, 4, 5, 6, 7, 8, 11, 24, 25, 31].map(signalBit).reduce((all, bit) => all | bit)

/** Total: what is missing counts as nothing. */
export function parseProcessStatus(text: string): ProcessStatus {
  const field = (name: string) => new RegExp(`^${name}:[ \\t]*(.*)$`, 'm').exec(text)?.[1]?.trim() ?? ''
  const mask = (name: string) => (/^[0-9a-f]{1,16}$/.test(field(name)) ? BigInt(`0x${field(name)}`) : 0n)
  const pending = mask('SigPnd') | mask('ShdPnd')
  const deadly = coreSignals & ~(mask('SigCgt') | mask('SigIgn') | mask('SigBlk'))
  return {
    groups: field('Groups')
      .split(/\s+/)
      .filter((group) => /^\d+$/.test(group))
      .map(Number),
    dying: (pending & (sigkill | deadly)) !== 0n,
  }
}

/** undefined: there is no such process here (any more). */
export function readProcessStatus(pid: number): ProcessStatus | undefined {
  if (pid === 0) return undefined
  try {
    return parseProcessStatus(readFileSync(`/proc/${pid}/status`, 'latin1'))
  } catch {
    return undefined // ENOENT, ESRCH: it has ended
  }
}
