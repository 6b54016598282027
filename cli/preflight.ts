import { accessSync, constants, existsSync, mkdirSync } from 'node:fs'
import { canonicalMountPoint, prepareMountPoint } from '../fs-driver/kernel/mount.ts'
import { mountAt } from '../fs-driver/kernel/mount-table.ts'
import { codeOf, Failure, oneLine } from './failure.ts'
import type { MountDriver } from './mount-driver.ts'

/** What mounting needs of this machine. @throws Failure */
export function mustBeAbleToMount(dir: string, driver: MountDriver): void {
  const meaning = 'Nothing was started'
  if (driver === 'plain' && process.getuid?.() !== 0) {
    throw new Failure(`cannot mount ${dir}: only root may mount`, {
      meaning,
      remedy: 'Run this with sudo, or mount with --driver fuse-native',
    })
  }
  try {
    accessSync('/dev/fuse', constants.R_OK | constants.W_OK)
  } catch (error) {
    const missing = codeOf(error) === 'ENOENT'
    throw new Failure(`cannot mount ${dir}: /dev/fuse ${missing ? 'is missing' : 'cannot be opened'}`, {
      meaning,
      remedy:
        missing || driver === 'plain'
          ? 'Run "modprobe fuse"; in a container, start it with --device /dev/fuse --cap-add SYS_ADMIN'
          : 'Have root run "chmod 666 /dev/fuse", as udev does where it runs',
      cause: error,
    })
  }
}

/** Makes the folder if it is missing. @returns its name as the mount table will have it. @throws Failure */
export function mountPoint(dir: string): string {
  try {
    const path = canonicalMountPoint(dir)
    // What is mounted there, perhaps by somebody who is dead, is not touched here: it could make us wait for ever.
    if (mountAt(path) === undefined && !existsSync(path)) mkdirSync(path, { recursive: true })
    return path
  } catch (error) {
    throw new Failure(`cannot make the mount point ${dir}: ${codeOf(error) ?? oneLine(error)}`, {
      meaning: 'Nothing was started',
      remedy: 'Mount elsewhere with --mount DIR',
      cause: error,
    })
  }
}

/** Takes away what dead drivers left there. @throws Failure: in use, no folder, not empty */
export async function clearMountPoint(dir: string): Promise<void> {
  await prepareMountPoint(dir).catch((error: unknown) => {
    throw new Failure(`cannot mount: ${oneLine(error)}`, { cause: error })
  })
}
