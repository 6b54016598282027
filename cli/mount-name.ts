import { createHash } from 'node:crypto'
import path from 'node:path'

/** A name for the logs and files of the mount at `dir`: the same each time, and of no other. */
export function mountName(dir: string): string {
  const last = path
    .basename(dir)
    .replaceAll(/[^A-Za-z0-9_-]/g, '_')
    .slice(0, 20)
  return `mount-${last}-${createHash('sha256').update(dir).digest('hex').slice(0, 8)}`
}
