import { mkdtempSync, rmSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { isOfType } from '../fs-driver/file-type.ts'
import { isDot } from '../fs-driver/names.ts'
import type { FileCall, FileResult } from '../fs-driver/router/file-client.ts'
import { GrpcTransport } from '../fs-driver/router/grpc-transport.ts'
import { createRouter, type Router } from '../fs-driver/router/router.ts'
import { FsError } from '../proto/errno.ts'
import { isTreePath } from '../proto/tree-path.ts'
import { inodeInTree, rootIno } from '../proto/volume-number.ts'
import type { Attached, VolumeRecord } from '../replication/record.ts'
import type { Directory } from '../server/directory/directory.ts'
import { Failure, oneLine } from './failure.ts'
import type { Host } from './host.ts'
import { volumeName } from './volume.ts'

/** For the servers of the volume above to answer. */
const answerMs = 15_000
/** FS_IMMUTABLE_FL of include/uapi/linux/fs.h: nothing can be put into it, and it can't be moved or removed. */
const immutable = 0x10
/** Who may speak to the servers as an operator may do this, whatever user he is. */
const operator = { uid: 0, gid: 0, groups: [], pid: process.pid }

/** A place, and who has it: the way from the root of a volume. */
interface Above {
  readonly volume: string
  /** Of that volume in the tree. */
  readonly number: number
  readonly names: readonly string[]
}

/** @throws Failure when nothing can be attached there */
export function mustBePlace(root: VolumeRecord, at: string): Above {
  const refuse = (reason: string, remedy: string): never => {
    throw new Failure(`${at} cannot be the place of a volume: ${reason}`, { meaning: 'Nothing was changed', remedy })
  }
  if (!isTreePath(at)) refuse('it is no path from the root of the tree', 'Write it like /projects')
  if (at === '/') refuse(`the root is volume ${volumeName}'s`, 'Write a path below it, like /projects')
  const { attached = [] } = root
  const taken = attached.find((place) => place.at === at)
  if (taken !== undefined) refuse(`volume ${taken.volume} has it`, 'Choose another')
  const hidden = attached.find((place) => place.at.startsWith(`${at}/`))
  if (hidden !== undefined) refuse(`it would hide volume ${hidden.volume} at ${hidden.at}`, 'Choose another')
  const [above = { volume: volumeName, number: 0, at: '' }] = attached
    .filter((place) => at.startsWith(`${place.at}/`))
    .toSorted((a, b) => b.at.length - a.at.length)
  return { volume: above.volume, number: above.number, names: at.slice(above.at.length + 1).split('/') }
}

/**
 * Makes the directory at which a volume is to be attached, or takes an empty one: immutable, so that it stays where it is,
 * and nothing comes into it by a mount that does not know of the volume.
 *
 * @throws Failure
 */
export async function makePlace(
  host: Host,
  directory: Directory,
  above: Above,
): Promise<Pick<Attached, 'parent' | 'name'>> {
  const { names, number, volume } = above
  const folder = mkdtempSync(path.join(os.tmpdir(), 'banyan-attach-'))
  const router = createRouter({
    providers: { watch: (onChange) => directory.watch(volume, { record() {}, death() {}, providers: onChange }) },
    transport: new GrpcTransport(host.dial, volume),
    host: host.name,
    path: 'banyan volume',
    isOpen: () => false,
    slotFile: path.join(folder, 'slots'),
    unavailableMs: answerMs,
  })
  try {
    const parent = await attach(new Walk(router), names)
    return { parent: inodeInTree(number, parent), name: names.at(-1) ?? '' }
  } catch (error) {
    if (!(error instanceof FsError)) throw error
    throw new Failure(`/${names.join('/')} of volume ${volume} cannot be made a place for it: ${oneLine(error)}`, {
      meaning: 'Nothing was changed',
      remedy: error.errno === 'EIO' ? `Look at "banyan status${host.flag}"` : 'Choose another place',
      cause: error,
    })
  } finally {
    await router.end()
    rmSync(folder, { recursive: true, force: true })
  }
}

/** @returns the directory that has the place. @throws Failure, FsError */
async function attach(walk: Walk, names: readonly string[]): Promise<bigint> {
  let parent = rootIno
  for (const [depth, name] of names.entries()) {
    const where = `/${names.slice(0, depth + 1).join('/')}`
    const isLast = depth === names.length - 1
    const found = (await walk.lookup(parent, name)) ?? (isLast ? await walk.mkdir(parent, name) : undefined)
    if (found === undefined)
      throw refusal(`there is no directory ${where} in the tree`, 'Make it, or choose another place')
    if (!isOfType(found, 'directory')) throw refusal(`${where} is no directory`, 'Choose another place, or remove it')
    if (isLast) {
      if (!(await walk.isEmpty(found.ino)))
        throw refusal(`${where} is not empty, and what is in it would be hidden`, 'Choose another place, or empty it')
      await walk.setFlags(found.ino, immutable)
      return parent
    }
    parent = found.ino
  }
  throw new Error('a place has a name')
}

const refusal = (reason: string, remedy: string): Failure =>
  new Failure(reason, { meaning: 'Nothing was changed', remedy })

/** A few operations, each the only one of its request. */
class Walk {
  readonly #router: Router
  #calls = 0n

  constructor(router: Router) {
    this.#router = router
  }

  async lookup(parent: bigint, name: string): Promise<{ ino: bigint; mode: number } | undefined> {
    try {
      return attributesOf(await this.#call({ $case: 'lookup', value: { parent, name: Buffer.from(name) } }))
    } catch (error) {
      if (error instanceof FsError && error.errno === 'ENOENT') return undefined
      throw error
    }
  }

  async mkdir(parent: bigint, name: string): Promise<{ ino: bigint; mode: number }> {
    const value = { parent, name: Buffer.from(name), mode: 0o755, umask: 0 }
    return attributesOf(await this.#call({ $case: 'mkdir', value }))
  }

  async isEmpty(ino: bigint): Promise<boolean> {
    const result = await this.#call({ $case: 'readdir', value: { ino, cookie: 0n, count: 3, attributes: false } })
    if (result.$case !== 'listing') throw new Error(`a readdir was answered with ${result.$case}`)
    return result.value.entries.every(({ name }) => isDot(name))
  }

  async setFlags(ino: bigint, flags: number): Promise<void> {
    const value = { ino, flags, atime: undefined, mtime: undefined, openForWriting: false, killPrivileges: false }
    await this.#call({ $case: 'setattr', value })
  }

  async #call(operation: FileCall): Promise<FileResult> {
    this.#calls += 1n
    const unique = this.#calls
    try {
      return await this.#router.call(operation, operator, { unique, step: 0 })
    } finally {
      this.#router.answered(unique)
    }
  }
}

function attributesOf(result: FileResult): { ino: bigint; mode: number } {
  const attributes = result.$case === 'entry' ? result.value.attributes : undefined
  if (attributes === undefined) throw new Error(`an entry was answered with ${result.$case}`)
  return attributes
}
