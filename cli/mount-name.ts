import { createHash } from 'node:crypto'
import path from 'node:path'
import type { StateFolder } from './state-folder.ts'

/** A name for the logs and files of the mount at `dir`: the same each time, and of no other. */
export function mountName(dir: string): string {
  const last = path
    .basename(dir)
    .replaceAll(/[^A-Za-z0-9_-]/g, '_')
    .slice(0, 20)
  return `mount-${last}-${createHash('sha256').update(dir).digest('hex').slice(0, 8)}`
}

/** A file that the driver of the mount at `dir` leaves to the next one. It lives as long as the mount. */
export function mountFile(state: StateFolder, dir: string, ending: 'handles' | 'slots'): string {
  return path.join(state.run, `${mountName(dir)}.${ending}`)
}
