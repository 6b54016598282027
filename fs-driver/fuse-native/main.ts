import { Socket } from 'node:net'
import type { Handlers } from 'fuse-native'
import { bondFd, onceDead } from '../kernel/bond.ts'
import { mountAt } from '../kernel/mount-table.ts'
import type { Log } from '../log.ts'
import type { FileClient } from '../router/file-client.ts'
import { readOnlyClient } from '../router/read-only-client.ts'
import { handlersOf } from './handlers.ts'
import type { OpenFiles } from './open-files.ts'
import { fusermount } from './supervisor.ts'
import { Tree } from './tree.ts'

/** Nobody tells this process that the mount has gone: it looks. */
const lookEveryMs = 250

/**
 * Beside its name: nothing is kept in the kernel, since libfuse can't take it back when another host changes it; writes
 * may be longer than a page; inode numbers are ours. The package has no options for these, and joins all by commas.
 */
const name = 'banyan,direct_io,big_writes,use_ino'

export interface RunNativeDriver {
  /** As the mount table has it. */
  readonly dir: string
  readonly client: FileClient
  readonly readOnly: boolean
  readonly files: OpenFiles
  readonly log: Log
}

/**
 * Mounts through libfuse and its setuid fusermount, as an ordinary user may, and serves until the mount is gone. Every
 * call is made in the name of this process's user, who alone can enter the mount.
 *
 * @throws Error, in a sentence for the user
 */
export async function runNativeDriver({ dir, client, readOnly, files, log }: RunNativeDriver): Promise<void> {
  const [uid, gid] = [process.getuid?.() ?? 0, process.getgid?.() ?? 0]
  const caller = { uid, gid, groups: process.getgroups?.() ?? [], pid: process.pid }
  const tree = new Tree(readOnly ? readOnlyClient(client) : client, caller)
  await mountNative({ dir, readOnly }, handlersOf({ tree, files, log }))
  log.info('native.mounted', { dir })
  // Nobody else could end it in its user's name.
  onceDead(new Socket({ fd: bondFd }), () => {
    log.error('supervisor.died', { dir })
    void fusermount('-uz', dir)
  })
  await new Promise<void>((resolve) => {
    const timer = setInterval(() => {
      if (mountAt(dir) !== undefined) return
      clearInterval(timer)
      resolve()
    }, lookEveryMs)
  })
  log.info('native.unmounted', { dir })
}

async function mountNative({ dir, readOnly }: { dir: string; readOnly: boolean }, handlers: Handlers): Promise<void> {
  const { default: Fuse } = await import('fuse-native').catch((cause: unknown) => {
    const why = cause instanceof Error ? cause.message.split('\n')[0] : String(cause)
    throw new Error(
      `fuse-native cannot be loaded (${why}). It needs libfuse 2 and fusermount: on Debian, install libfuse2 and fuse3.`,
      { cause },
    )
  })
  const fsname = readOnly ? `${name},ro` : name
  const options = { timeout: false, fsname, subtype: 'banyan', entryTimeout: '0.0', attrTimeout: '0.0' } as const
  const fuse = new Fuse(dir, handlers, options)
  await new Promise<void>((resolve, reject) => {
    fuse.mount((error) => {
      if (error === null) resolve()
      else reject(new Error(`mounting at ${dir} through libfuse failed: ${error.message}`, { cause: error }))
    })
  })
}
