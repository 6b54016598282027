import type { FileCall, FileResult } from '../router/file-client.ts'
import { within } from '../within.ts'
import { KernelDirectories, type Place } from './kernel-directories.ts'

/** What the kernel is told; see Notifier. */
export interface KernelNames {
  /** Waits for requests in `dir` that are not answered. Resolves when it is gone; never rejects. */
  forgetName(dir: bigint, name: Uint8Array): Promise<void>
}

/** A name that is not gone by then is kept by a request that may wait for ours. */
const patienceMs = 100

/**
 * Lets the kernel find directories where other hosts have moved them. It takes a directory from one name to another in
 * every lookup but those of a rename(2) with two parents, which holds the lock for that itself: such a rename fails with
 * ESTALE (fs/dcache.c, __d_unalias). So before the kernel is told where a directory is, it forgets where it was.
 *
 * That does not help while something in the directory is in use here: then the kernel can't forget it.
 */
export class MovedDirectories {
  readonly #kernel: KernelNames
  readonly #known = new KernelDirectories()
  /** By directory: old names that are being forgotten. */
  readonly #forgetting = new Map<bigint, Promise<unknown>>()

  constructor(kernel: KernelNames) {
    this.#kernel = kernel
  }

  /** That is about to be answered to the kernel. */
  answered(call: FileCall, result: FileResult): void {
    this.#known.answered(call, result)
  }

  /** What must be waited for before that is answered; undefined: nothing. Never rejects. */
  before(call: FileCall, result: FileResult): Promise<unknown> | undefined {
    if (call.$case !== 'lookup' || result.$case !== 'entry' || result.value.attributes === undefined) return undefined
    const { ino } = result.value.attributes
    const places = this.#known.elsewhere({ dir: call.value.parent, name: call.value.name }, ino)
    if (places.length > 0) this.#forget(ino, places)
    const forgetting = this.#forgetting.get(ino)
    return forgetting && within(forgetting, patienceMs)
  }

  #forget(ino: bigint, places: readonly Place[]): void {
    for (const place of places) this.#known.forget(place)
    const gone = places.map(({ dir, name }) => this.#kernel.forgetName(dir, name))
    const all = Promise.all([this.#forgetting.get(ino), ...gone]).then(() => {
      if (this.#forgetting.get(ino) === all) this.#forgetting.delete(ino)
    })
    this.#forgetting.set(ino, all)
  }
}
