import { createHash } from 'node:crypto'
import path from 'node:path'
import { memoryFolder } from './memory-folder.ts'
import type { StateFolder } from './state-folder.ts'

/** A name for the logs and files of the mount at `dir`: the same each time, and of no other. */
export function mountName(dir: string): string {
  const last = path
    .basename(dir)
    .replaceAll(/[^A-Za-z0-9_-]/g, '_')
    .slice(0, 20)
  return `mount-${last}-${createHash('sha256').update(dir).digest('hex').slice(0, 8)}`
}

/** Files that the driver of a mount leaves to the next one. They live as long as the mount. */
export const mountFileEndings = ['handles', 'slots', 'leases', 'writes', 'steps'] as const

/** One of these, of the mount at `dir`. @throws Failure */
export function mountFile(state: StateFolder, dir: string, ending: (typeof mountFileEndings)[number]): string {
  return path.join(memoryFolder(state), `${mountName(dir)}.${ending}`)
}
