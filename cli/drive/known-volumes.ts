import { appendFileSync, readFileSync, rmSync } from 'node:fs'
import type { Attached } from '../../replication/record.ts'
import { codeOf } from '../failure.ts'

/**
 * Which volumes a mount has shown, for the driver that takes over: the kernel asks it about their inodes before the
 * directory has said anything. One line of JSON each, in memory. Anything in it that is not ours is passed over.
 */
export class KnownVolumes {
  readonly left: readonly Attached[]
  readonly #file: string

  constructor(file: string, { resend }: { readonly resend: boolean }) {
    this.#file = file
    if (!resend) rmSync(file, { force: true })
    this.left = read(file).flatMap(parsed)
  }

  add(one: Attached): void {
    if (this.left.some(({ number }) => number === one.number)) return
    appendFileSync(this.#file, `${JSON.stringify({ ...one, parent: String(one.parent) })}\n`, { mode: 0o600 })
  }
}

function read(file: string): readonly string[] {
  try {
    return readFileSync(file, 'utf8').split('\n')
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return []
    throw error
  }
}

function parsed(line: string): readonly Attached[] {
  try {
    const { at, name, number, parent, volume } = JSON.parse(line) as Record<string, unknown>
    if (typeof at !== 'string' || typeof name !== 'string' || typeof volume !== 'string') return []
    return typeof number === 'number' ? [{ at, name, number, parent: BigInt(String(parent)), volume }] : []
  } catch (error) {
    if (error instanceof SyntaxError || error instanceof TypeError) return [] // written in part
    throw error
  }
}
