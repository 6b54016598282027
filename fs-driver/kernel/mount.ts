import { readdirSync, realpathSync, statSync, writeSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { encodeNotification } from '../protocol/notification.ts'
import { mountAt, readMountTable } from './mount-table.ts'
import { runProgram } from './program.ts'

/** As it stands in the mount table; `df -T` and `findmnt -t` show it. */
export const fileSystemType = 'fuse.banyan'

/** mount(8) and umount(8) of a healthy mount take milliseconds. */
const mountLimitMs = 10_000
const umountLimitMs = 3_000
/** A mount that does not answer stat(1) for so long is hung, not dead. */
const probeLimitMs = 3_000

const fusectlPath = '/sys/fs/fuse/connections'

/** `dir` as the mount table has it: absolute, without symbolic links. Asks nothing of what is mounted there. */
export function canonicalMountPoint(dir: string): string {
  const absolute = resolve(dir)
  const path = existing(dirname(absolute)) ? join(realpathSync(dirname(absolute)), basename(absolute)) : absolute
  if (mountAt(path) !== undefined) return path // a dead mount would answer ENOTCONN
  return existing(path) ? realpathSync(path) : path
}

function existing(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false }) !== undefined
}

/**
 * What is at `dir`: nothing of ours; a mount of ours that nobody serves any more; or one that somebody serves, or that
 * at least does not say that it is dead. Never waits for the mount longer than a limit.
 */
export async function probeMount(dir: string): Promise<'none' | 'dead' | 'alive'> {
  if (mountAt(dir)?.type !== fileSystemType) return 'none'
  const { code, said } = await runProgram('stat', ['--', dir], { limitMs: probeLimitMs })
  return code === 1 && /not connected|connection abort|No such device/i.test(said) ? 'dead' : 'alive'
}

/**
 * Makes `dir` ready to be mounted on: takes away what dead drivers of ours left there.
 *
 * @throws Error, in a sentence for the user: in use by another mount, no directory, not empty
 */
export async function prepareMountPoint(dir: string): Promise<void> {
  for (;;) {
    const state = await probeMount(dir)
    if (state === 'none') break
    if (state === 'alive') {
      throw new Error(`${dir} is already mounted. Use it as it is, unmount it ("umount ${dir}"), or mount elsewhere.`)
    }
    await unmountLazily(dir)
  }
  if (mountAt(dir) !== undefined) throw new Error(`${dir} is the mount point of something else. Mount elsewhere.`)
  const found = statSync(dir, { throwIfNoEntry: false })
  if (found === undefined) throw new Error(`${dir} does not exist. Make it ("mkdir -p ${dir}"), or mount elsewhere.`)
  if (!found.isDirectory()) throw new Error(`${dir} is not a directory. Mount elsewhere.`)
  if (readdirSync(dir).length > 0) {
    throw new Error(`${dir} is not empty, and what is in it would be hidden. Empty it, or mount elsewhere.`)
  }
}

/**
 * Mounts the connection of /dev/fuse descriptor `fd` at `dir`.
 *
 * @returns its number in fusectl
 * @throws Error what mount(8) said
 */
export async function mountDevice(
  fd: number,
  { dir, name, readOnly }: { dir: string; name: string; readOnly: boolean },
): Promise<number> {
  const access = readOnly ? 'ro' : 'rw'
  const options = `${access},fd=3,rootmode=40000,user_id=0,group_id=0,default_permissions,allow_other`
  const args = ['-i', '-t', fileSystemType, '-o', options, name, dir]
  const { code, said } = await runProgram('mount', args, { limitMs: mountLimitMs, fd })
  if (code !== 0) throw new Error(`mounting at ${dir} failed: ${said || 'mount(8) did not end'}. Mounting needs root.`)
  const minor = Number(mountAt(dir)?.device.split(':')[1])
  if (!Number.isInteger(minor)) throw new Error(`mounting at ${dir} failed: it is not in the mount table`)
  return minor
}

/** umount(8), without asking the file system anything first. @returns whether it is gone; false: busy, or no answer */
export async function unmount(dir: string): Promise<boolean> {
  const { code } = await runProgram('umount', ['-i', '-c', '--', dir], { limitMs: umountLimitMs })
  return code === 0
}

/** Takes the mount out of the tree at once; who has files open in it goes on with them. */
export async function unmountLazily(dir: string): Promise<void> {
  const { code, said } = await runProgram('umount', ['-i', '-c', '-l', '--', dir], { limitMs: umountLimitMs })
  if (code !== 0 && mountAt(dir)?.type === fileSystemType) throw new Error(`${dir} cannot be unmounted: ${said}`)
}

/**
 * Does the file system behind descriptor `fd` of /dev/fuse still exist, mounted or only in use? Its root is told to
 * forget its attributes, which never waits and, with no file system, finds no root.
 */
export function isConnected(fd: number): boolean {
  try {
    writeSync(fd, encodeNotification({ kind: 'INVAL_INODE', ino: 1n, offset: -1n, length: 0n }))
    return true
  } catch {
    return false
  }
}

/**
 * Ends a connection for good: whatever waits for it, or uses it later, gets ENOTCONN or ECONNABORTED. The number is the
 * kernel's to give to another mount as soon as this one is gone: be sure that it is not (`isConnected`).
 */
export async function abortConnection(connection: number): Promise<void> {
  if (!readMountTable().some((entry) => entry.type === 'fusectl' && entry.path === fusectlPath)) {
    await runProgram('mount', ['-i', '-t', 'fusectl', 'fusectl', fusectlPath], { limitMs: mountLimitMs })
  }
  try {
    await writeFile(`${fusectlPath}/${connection}/abort`, '1')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error // ENOENT: it has ended by itself
  }
}
