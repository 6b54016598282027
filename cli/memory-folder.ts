import { lstatSync, mkdirSync, readdirSync, rmdirSync, rmSync, statfsSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { codeOf, Failure } from './failure.ts'
import type { StateFolder } from './state-folder.ts'

const sharedMemory = '/dev/shm'
/** In the folder: the path of the state folder that it belongs to. */
const ownerFile = 'state'
const tmpfsMagic = 0x01021994 // linux/magic.h

/**
 * Where a mount's files live that need to outlive a process, but not the machine: in memory, so that writing them never
 * waits for a disk. Below the state folder where there is no shared memory. Made if it is missing, 0700, and ours.
 *
 * @throws Failure
 */
export function memoryFolder(state: StateFolder): string {
  if (!isMemory(sharedMemory)) return state.run
  const folder = folderIn(sharedMemory, state)
  try {
    mkdirSync(folder, { mode: 0o700 })
    writeFileSync(path.join(folder, ownerFile), `${state.root}\n`)
  } catch (error) {
    if (codeOf(error) !== 'EEXIST') return state.run
  }
  const stats = lstatSync(folder)
  if (!stats.isDirectory() || stats.uid !== process.getuid?.() || (stats.mode & 0o077) !== 0) {
    throw new Failure(`${folder} belongs to somebody else`, {
      meaning: 'Whoever owns it could disturb the mount, so nothing was mounted',
      remedy: 'Remove it',
    })
  }
  return folder
}

/** Takes the folder away if no mount has anything in it any more. */
export function removeMemoryFolder(state: StateFolder): void {
  const folder = folderIn(sharedMemory, state)
  try {
    if (readdirSync(folder).some((name) => name !== ownerFile)) return
    rmSync(path.join(folder, ownerFile), { force: true })
    rmdirSync(folder)
  } catch {
    // ENOTEMPTY: another mount uses it by now. ENOENT: there was none.
  }
}

/** One a user and cluster. */
const folderIn = (memory: string, state: StateFolder): string =>
  path.join(memory, `banyan-${process.getuid?.() ?? 0}-${state.hash}`)

function isMemory(folder: string): boolean {
  try {
    return statfsSync(folder).type === tmpfsMagic
  } catch {
    return false
  }
}
