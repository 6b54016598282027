import type { Attributes } from '../../proto/generated/file-service.ts'
import { isOfType } from '../file-type.ts'
import { isDot, nameKey } from '../names.ts'
import type { FileCall, FileResult } from '../router/file-client.ts'

/** A name in a directory. */
export interface Place {
  readonly dir: bigint
  readonly name: Uint8Array
}

/** Of more the kernel may have, the names told longest ago are not known here. */
const placesMax = 65_536
const exchange = 2 // RENAME_EXCHANGE of Linux

/**
 * Where the kernel has directories, as far as it was told. It keeps one name for each (dcache: a directory has one
 * alias), also when that name has run out of time, until it looks the directory up by another one. Files can have many
 * names, so nothing has to be known of them.
 */
export class KernelDirectories {
  /** The least recently told first. */
  readonly #inos = new Map<string, bigint>()
  /** By inode. More than one: it is not known which of them the kernel has taken. */
  readonly #places = new Map<bigint, Map<string, Place>>()

  /** That is about to be answered to the kernel. */
  answered(call: FileCall, result: FileResult): void {
    if (call.$case === 'lookup' || call.$case === 'mkdir' || call.$case === 'create') {
      const { parent: dir, name } = call.value
      if (result.$case === 'entry') this.#told({ dir, name }, result.value.attributes)
    }
    if (call.$case === 'readdir' && result.$case === 'listing') {
      for (const { attributes, name } of result.value.entries) {
        if (attributes !== undefined && !isDot(name)) this.#told({ dir: call.value.ino, name }, attributes)
      }
    }
    if (call.$case === 'rmdir') this.forget({ dir: call.value.parent, name: call.value.name })
    if (call.$case === 'rename') this.#renamed(call.value)
  }

  /** Other places at which the kernel may still have the directory that is found at `place`. */
  elsewhere({ dir, name }: Place, ino: bigint): Place[] {
    const places = this.#places.get(ino)
    if (places === undefined) return []
    const key = nameKey(dir, name)
    return [...places].filter(([other]) => other !== key).map(([, place]) => place)
  }

  /** The kernel has no directory there any more. */
  forget(place: Place): void {
    const key = nameKey(place.dir, place.name)
    const ino = this.#inos.get(key)
    if (ino === undefined) return
    this.#inos.delete(key)
    const places = this.#places.get(ino)
    places?.delete(key)
    if (places?.size === 0) this.#places.delete(ino)
  }

  #told(place: Place, attributes: Attributes | undefined): void {
    this.forget(place) // whatever was there
    if (attributes === undefined || !isOfType(attributes, 'directory')) return
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
    if (this.#inos.size <= placesMax) return
    const [oldest] = this.#inos
    const first = oldest && this.#places.get(oldest[1])?.get(oldest[0])
    if (first !== undefined) this.forget(first)
  }
}

type RenameCall = Extract<FileCall, { $case: 'rename' }>['value']
