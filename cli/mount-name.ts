import { createHash } from 'node:crypto'
import { readdirSync, rmSync } from 'node:fs'
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
const endings = ['handles', 'slots', 'leases', 'writes', 'steps', 'volumes'] as const

/** One of these, of the mount at `dir`; `volume`: of a volume in it, by its number. @throws Failure */
export function mountFile(state: StateFolder, dir: string, ending: (typeof endings)[number], volume = 0): string {
  return path.join(memoryFolder(state), `${mountName(dir)}.${ending}${volume === 0 ? '' : `-${volume}`}`)
}

/** All of the mount at `dir`. */
export function removeMountFiles(state: StateFolder, dir: string): void {
  const folder = memoryFolder(state)
  const ours = new RegExp(`^${mountName(dir)}\\.(${endings.join('|')})(-\\d+)?$`)
  for (const name of readdirSync(folder)) {
    if (ours.test(name)) rmSync(path.join(folder, name), { force: true, recursive: true })
  }
}
