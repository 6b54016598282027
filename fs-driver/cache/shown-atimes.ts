import type { Attributes } from '../../proto/generated/file-service.ts'
import type { FileResult } from '../router/file-client.ts'

/**
 * Access times that are shown here already, while the servers still say what they were before: a change of the file that
 * is answered in between must not take them back.
 */
export class ShownAtimes {
  readonly #shown = new Map<bigint, { readonly fromNs: bigint; readonly toNs: bigint }>()

  set(ino: bigint, { fromNs, toNs }: { fromNs: bigint; toNs: bigint }): void {
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

  #put(attributes: Attributes | undefined): void {
    if (attributes === undefined) return
    const shown = this.#shown.get(attributes.ino)
    if (shown?.fromNs === attributes.atimeNs) attributes.atimeNs = shown.toNs
  }
}
