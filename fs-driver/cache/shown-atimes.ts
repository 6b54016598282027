import type { Attributes } from '../../proto/generated/file-service.ts'
import { needsAtime } from '../../proto/relatime.ts'
import type { FileResult } from '../router/file-client.ts'

/** `fromNs` undefined: what the servers said was not known when it was read. */
interface Shown {
  readonly fromNs: bigint | undefined
  readonly toNs: bigint
}

/**
 * Access times that are shown here already, while the servers still say what they were before: a change of the file that
 * is answered in between must not take them back.
 */
export class ShownAtimes {
  readonly #shown = new Map<bigint, Shown>()

  set(ino: bigint, { fromNs, toNs }: Shown): void {
    this.#shown.set(ino, { fromNs: this.#shown.get(ino)?.fromNs ?? fromNs, toNs })
  }

  /** The servers say `atNs` from now on. */
  told(ino: bigint, atNs: bigint): void {
    const shown = this.#shown.get(ino)
    if (shown === undefined) return
    if (shown.toNs === atNs) this.#shown.delete(ino)
    else this.#shown.set(ino, { fromNs: atNs, toNs: shown.toNs })
  }

  delete(ino: bigint): void {
    this.#shown.delete(ino)
  }

  /** Puts them into an answer that has just come, in place. An access time that has become another stands. */
  putInto(result: FileResult): void {
    if (this.#shown.size === 0) return
    if (result.$case === 'attributes') this.#put(result.value)
    else if (result.$case === 'entry') this.#put(result.value.attributes)
    else if (result.$case === 'listing') for (const { attributes } of result.value.entries) this.#put(attributes)
  }

  /** The same for attributes that are kept elsewhere: those stay as they are. */
  of(attributes: Attributes): Attributes {
    if (!this.#shown.has(attributes.ino)) return attributes
    const copy = { ...attributes }
    this.#put(copy)
    return copy
  }

  #put(attributes: Attributes | undefined): void {
    if (attributes === undefined) return
    const shown = this.#shown.get(attributes.ino)
    if (shown === undefined) return
    const { fromNs = attributes.atimeNs, toNs } = shown
    if (shown.fromNs === undefined && !(toNs > attributes.ctimeNs && needsAtime(attributes, toNs))) return
    if (shown.fromNs === undefined) this.#shown.set(attributes.ino, { fromNs, toNs })
    if (fromNs === attributes.atimeNs) attributes.atimeNs = toNs
  }
}
