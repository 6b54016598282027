import type { Attributes } from '../../proto/generated/file-service.ts'
import { isDot, nameKey } from '../names.ts'
import type { FileCall, FileResult } from '../router/file-client.ts'

/** A name in a directory. */
export interface Place {
  readonly dir: bigint
  readonly name: Uint8Array
}

const exchange = 2 // RENAME_EXCHANGE of Linux

/**
 * Where the kernel has inodes of one kind, as far as it was told: also when that name has run out of time, until it looks
 * the inode up by another one, or the name leads elsewhere.
 */
export class KernelPlaces {
  readonly #isOfKind: (attributes: Attributes) => boolean
  /** Of more the kernel may have, the names told longest ago are not known here. */
  readonly #max: number
  /** The least recently told first. */
  readonly #inos = new Map<string, bigint>()
  /** By inode. More than one: it is not known which of them the kernel has taken. */
  readonly #places = new Map<bigint, Map<string, Place>>()

  constructor(isOfKind: (attributes: Attributes) => boolean, max: number) {
    this.#isOfKind = isOfKind
    this.#max = max
  }

  /** That is about to be answered to the kernel. */
  answered(call: FileCall, result: FileResult): void {
    if (result.$case === 'entry' && 'parent' in call.value && 'name' in call.value) {
      const { parent: dir, name } = call.value
      if (!isDot(name)) this.#tell({ dir, name }, result.value.attributes)
    }
    if (call.$case === 'readdir' && result.$case === 'listing') {
      for (const { attributes, name } of result.value.entries) {
        if (attributes !== undefined && !isDot(name)) this.#tell({ dir: call.value.ino, name }, attributes)
      }
    }
    if (call.$case === 'rmdir' || call.$case === 'unlink')
      this.forget({ dir: call.value.parent, name: call.value.name })
    if (call.$case === 'rename') this.#renamed(call.value)
  }

  /** Other places at which the kernel may still have the inode that is found at `place`. */
  elsewhere({ dir, name }: Place, ino: bigint): Place[] {
    const places = this.#places.get(ino)
    if (places === undefined) return []
    const key = nameKey(dir, name)
    return [...places].filter(([other]) => other !== key).map(([, place]) => place)
  }

  /** The kernel has nothing of this kind there any more. */
  forget(place: Place): void {
    const key = nameKey(place.dir, place.name)
    const ino = this.#inos.get(key)
    if (ino === undefined) return
    this.#inos.delete(key)
    const places = this.#places.get(ino)
    places?.delete(key)
    if (places?.size === 0) this.#places.delete(ino)
  }

  #tell(place: Place, attributes: Attributes | undefined): void {
    this.forget(place) // whatever was there
    if (attributes === undefined || !this.#isOfKind(attributes)) return
    this.#put(place, attributes.ino)
  }

  #renamed({ parent, name, newParent, newName, flags }: RenameCall): void {
    const [from, to] = [
      { dir: parent, name },
      { dir: newParent, name: newName },
    ]
    const [moved, replaced] = [this.#inos.get(nameKey(parent, name)), this.#inos.get(nameKey(newParent, newName))]
    this.forget(from)
    this.forget(to)
    if (moved !== undefined) this.#put(to, moved)
    if (replaced !== undefined && (flags & exchange) !== 0) this.#put(from, replaced)
  }

  #put(place: Place, ino: bigint): void {
    const own = { dir: place.dir, name: Buffer.from(place.name) } // the message it came with is used again
    const key = nameKey(own.dir, own.name)
    this.#inos.set(key, ino)
    const places = this.#places.get(ino)
    if (places === undefined) this.#places.set(ino, new Map([[key, own]]))
    else places.set(key, own)
    if (this.#inos.size <= this.#max) return
    const [oldest] = this.#inos
    const first = oldest && this.#places.get(oldest[1])?.get(oldest[0])
    if (first !== undefined) this.forget(first)
  }
}

type RenameCall = Extract<FileCall, { $case: 'rename' }>['value']
