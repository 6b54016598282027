import type { FileResult } from '../../fs-driver/router/file-client.ts'
import type { Router } from '../../fs-driver/router/router.ts'
import { errnos, FsError } from '../../proto/errno.ts'
import { call } from './cluster.ts'

const rootIno = 1n

/** A few operations on the tree, by name in its root. */
export class Files {
  readonly router: Router

  constructor(router: Router) {
    this.router = router
  }

  async create(name: string): Promise<bigint> {
    const value = { parent: rootIno, name: Buffer.from(name), mode: 0o644, umask: 0, flags: 2 }
    return inoOf(await call(this.router, { $case: 'create', value }))
  }

  async write(ino: bigint, data: Buffer, offset = 0): Promise<void> {
    const value = { ino, offset: BigInt(offset), data, append: false, killPrivileges: false }
    await call(this.router, { $case: 'write', value })
  }

  async append(ino: bigint, data: Buffer): Promise<void> {
    await call(this.router, { $case: 'write', value: { ino, offset: 0n, data, append: true, killPrivileges: false } })
  }

  async read(ino: bigint, length: number, offset = 0): Promise<Buffer> {
    const reply = await call(this.router, { $case: 'read', value: { ino, offset: BigInt(offset), length } })
    if (reply.$case !== 'data') throw new Error(`a read was answered with ${reply.$case}`)
    return reply.value
  }

  async lookup(name: string): Promise<bigint | undefined> {
    try {
      return inoOf(await call(this.router, { $case: 'lookup', value: { parent: rootIno, name: Buffer.from(name) } }))
    } catch (error) {
      if (error instanceof FsError && errnos[error.errno] === errnos.ENOENT) return undefined
      throw error
    }
  }

  async unlink(name: string): Promise<void> {
    await call(this.router, { $case: 'unlink', value: { parent: rootIno, name: Buffer.from(name) } })
  }

  async fsync(ino: bigint): Promise<void> {
    await call(this.router, { $case: 'fsync', value: { ino } })
  }

  async names(): Promise<readonly string[]> {
    const names: string[] = []
    for (let cookie = 0n; ; ) {
      const value = { ino: rootIno, cookie, count: 100, attributes: true }
      const reply = await call(this.router, { $case: 'readdir', value })
      if (reply.$case !== 'listing') throw new Error(`a readdir was answered with ${reply.$case}`)
      names.push(...reply.value.entries.map(({ name }) => name.toString()))
      const last = reply.value.entries.at(-1)
      if (reply.value.end || last === undefined) return names.filter((name) => name !== '.' && name !== '..')
      cookie = last.cookie
    }
  }
}

function inoOf(reply: FileResult): bigint {
  const attributes = reply.$case === 'entry' ? reply.value.attributes : undefined
  if (attributes === undefined) throw new Error(`an entry was answered with ${reply.$case}`)
  return attributes.ino
}
