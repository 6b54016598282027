import type { FileCall } from '../router/file-client.ts'

/** What a change says it changes. Names are of directories; `contents`: of which the data may change. */
export interface Touched {
  readonly names: readonly { readonly dir: bigint; readonly name: Uint8Array }[]
  /** Inodes named by their numbers, besides the directories. */
  readonly inos: readonly bigint[]
  readonly contents: readonly bigint[]
}

const nothing: Touched = { names: [], inos: [], contents: [] }
const named = (...names: { dir: bigint; name: Uint8Array }[]): Touched => ({ ...nothing, names })
const own = (ino: bigint): Touched => ({ ...nothing, inos: [ino] })
const data = (ino: bigint): Touched => ({ ...nothing, inos: [ino], contents: [ino] })

/** What is not named here the provider recalls, as from anybody. Pure. */
export function touchedBy(call: FileCall): Touched {
  switch (call.$case) {
    case 'create':
    case 'mkdir':
    case 'mknod':
    case 'symlink':
    case 'unlink':
    case 'rmdir':
      return named({ dir: call.value.parent, name: call.value.name })
    case 'link':
      return { ...named({ dir: call.value.parent, name: call.value.name }), inos: [call.value.ino] }
    case 'rename': {
      const { parent, name, newParent, newName } = call.value
      return named({ dir: parent, name }, { dir: newParent, name: newName })
    }
    case 'setattr':
      return call.value.size === undefined ? own(call.value.ino) : data(call.value.ino)
    case 'setxattr':
    case 'removexattr':
      return own(call.value.ino)
    case 'copyRange':
    case 'fallocate':
    case 'open':
    case 'write':
      return data(call.value.ino)
    case 'takeHold': {
      const { ino: dir, names } = call.value
      return { ...named(...names.map((name) => ({ dir, name }))), inos: [dir] }
    }
    case 'access':
    case 'awaitLock':
    case 'awaitRelease':
    case 'fsync':
    case 'getLock':
    case 'getattr':
    case 'getxattr':
    case 'listxattr':
    case 'lock':
    case 'lookup':
    case 'lseek':
    case 'noteReads':
    case 'read':
    case 'readdir':
    case 'readlink':
    case 'releaseHolds':
    case 'releaseLocks':
    case 'statfs':
    case 'takeNumbers':
    case 'batch': // its steps have begun when they were held back
    case 'tmpfile':
    case 'unlock':
      return nothing
  }
}
