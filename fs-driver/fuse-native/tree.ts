import { FsError } from '../../proto/errno.ts'
import type { Attributes, Caller } from '../../proto/generated/file-service.ts'
import type { FileCall, FileClient, FileResult } from '../router/file-client.ts'

const rootIno = 1n

/** Where a path leads: its parent, which is there, and the last name. */
export interface Place {
  readonly parent: bigint
  readonly name: Buffer
}

/** The cluster's files by path, for one user: what the protocol names by inode is looked up, one name after the other. */
export class Tree {
  readonly #client: FileClient
  readonly #caller: Caller
  #unique = 0n

  constructor(client: FileClient, caller: Caller) {
    this.#client = client
    this.#caller = caller
  }

  /** @throws FsError */
  async call<Case extends FileResult['$case']>(
    operation: FileCall,
    wanted: Case,
  ): Promise<Extract<FileResult, { $case: Case }>> {
    const unique = (this.#unique += 2n) // as the kernel's are
    try {
      const result = await this.#client.call(operation, this.#caller, { unique, step: 0 })
      if (result.$case !== wanted) throw new FsError('EIO', `the server answered ${result.$case}, not ${wanted}`)
      return result as Extract<FileResult, { $case: Case }> // just checked
    } finally {
      this.#client.answered?.(unique)
    }
  }

  async attributes(path: string): Promise<Attributes> {
    const place = await this.#placeOf(path)
    return place === undefined ? await this.attributesOf(rootIno) : await this.#lookup(place)
  }

  async attributesOf(ino: bigint): Promise<Attributes> {
    return (await this.call({ $case: 'getattr', value: { ino } }, 'attributes')).value
  }

  async ino(path: string): Promise<bigint> {
    const place = await this.#placeOf(path)
    return place === undefined ? rootIno : (await this.#lookup(place)).ino
  }

  /** @throws FsError; EBUSY for the top of the tree, which has no name */
  async place(path: string): Promise<Place> {
    const place = await this.#placeOf(path)
    if (place === undefined) throw new FsError('EBUSY', 'the top of the tree has no name')
    return place
  }

  async #placeOf(path: string): Promise<Place | undefined> {
    const names = path.split('/').filter((name) => name !== '')
    const last = names.pop()
    if (last === undefined) return undefined
    let parent = rootIno
    for (const name of names) parent = (await this.#lookup({ parent, name: Buffer.from(name) })).ino
    return { parent, name: Buffer.from(last) }
  }

  async #lookup(place: Place): Promise<Attributes> {
    const { attributes } = (await this.call({ $case: 'lookup', value: place }, 'entry')).value
    if (attributes === undefined) throw new FsError('EIO', 'an entry without attributes')
    return attributes
  }
}
