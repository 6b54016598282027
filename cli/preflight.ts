import { accessSync, constants, mkdirSync } from 'node:fs'
import { canonicalMountPoint } from '../fs-driver/kernel/mount.ts'
import { codeOf, Failure } from './failure.ts'

/** What mounting needs of this machine. @throws Failure */
export function mustBeAbleToMount(dir: string): void {
  const meaning = 'Nothing was started'
  if (process.getuid?.() !== 0) {
    throw new Failure(`cannot mount ${dir}: only root may mount`, { meaning, remedy: 'Run this with sudo' })
  }
  try {
    accessSync('/dev/fuse', constants.R_OK | constants.W_OK)
  } catch (error) {
    const missing = codeOf(error) === 'ENOENT'
    throw new Failure(`cannot mount ${dir}: /dev/fuse ${missing ? 'is missing' : 'cannot be opened'}`, {
      meaning,
      remedy: 'Run "modprobe fuse"; in a container, start it with --device /dev/fuse --cap-add SYS_ADMIN',
      cause: error,
    })
  }
}

/** Makes the folder if it is missing. @returns its name as the mount table will have it. @throws Failure */
export function mountPoint(dir: string): string {
  try {
    const path = canonicalMountPoint(dir)
    mkdirSync(path, { recursive: true })
    return path
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return canonicalMountPoint(dir) // a dead mount, or no folder: said when it is mounted
    throw new Failure(`cannot make the mount point ${dir}: ${codeOf(error)}`, {
      meaning: 'Nothing was started',
      remedy: 'Mount elsewhere with --mount DIR',
      cause: error,
    })
  }
}
