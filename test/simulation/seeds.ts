import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { MixName, Profile } from './mixes.ts'

export interface SeedTask {
  readonly from: number
  readonly step: number
  readonly end: number
  readonly faults: MixName | undefined
  readonly profile: Partial<Profile> | undefined
  readonly untilViolation: boolean
}

export interface SeedResult {
  readonly seed: number
  readonly mix: MixName
  readonly events: ReadonlyMap<string, number>
  readonly healedMs: number
  readonly losses: number
  readonly cachedReads: number
  readonly heldBack: number
  readonly fences: number
  readonly violation: { readonly checker: string; readonly rule: string; readonly what: string } | undefined
  readonly replay: string
}

export interface SeedRange {
  readonly from: number
  readonly count: number
  readonly faults?: MixName
  /** Settles what the seed would choose. */
  readonly profile?: Partial<Profile>
  readonly processes: number
  readonly untilViolation?: boolean
  /** The program that runs them; by default, the one beside this file. */
  readonly runner?: string
  onResult(result: SeedResult): void
}

/** Runs seeds in several processes. With `untilViolation`, all of them end at the first. */
export async function runSeeds(range: SeedRange): Promise<void> {
  const { from, count, processes, faults, profile } = range
  const untilViolation = range.untilViolation ?? false
  const runner = range.runner ?? fileURLToPath(new URL('./seed-runner.ts', import.meta.url))
  const running = Array.from({ length: processes }, (_, i) => {
    const task: SeedTask = { from: from + i, step: processes, end: from + count, faults, profile, untilViolation }
    const child = fork(runner, { execArgv: ['--import=tsx'], serialization: 'advanced' })
    child.send(task)
    return child
  })
  let isOver = false
  const ended = running.map(async (child) => {
    child.on('message', (result: SeedResult) => {
      if (isOver) return
      range.onResult(result)
      if (!untilViolation || result.violation === undefined) return
      isOver = true
      for (const other of running) other.kill()
    })
    const [code] = (await once(child, 'exit')) as [number | null]
    if (code !== 0 && !isOver) throw new Error(`a process that ran seeds ended with ${code}`)
  })
  try {
    await Promise.all(ended)
  } finally {
    for (const child of running) child.kill()
  }
}
