import { randomBytes } from 'node:crypto'
import { fileURLToPath } from 'node:url'
import { type Incarnation, incarnation } from '../proto/ids.ts'

/** Arguments with which node runs this program again, as a process of its own. */
export function banyanArgs(...args: readonly string[]): string[] {
  const asSource = import.meta.url.endsWith('.ts')
  const file = fileURLToPath(new URL(asSource ? './banyan.ts' : './banyan.js', import.meta.url))
  return [...(asSource ? ['--import', import.meta.resolve('tsx')] : []), file, ...args]
}

/** A name for one start of one process, which no other start ever has (S20). */
export function newIncarnation(): Incarnation {
  return incarnation(randomBytes(12).toString('hex'))
}
