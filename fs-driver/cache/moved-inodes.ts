import type { Attributes } from '../../proto/generated/file-service.ts'
import { isOfType } from '../file-type.ts'
import { isDot, nameKey } from '../names.ts'
import type { FileCall, FileResult } from '../router/file-client.ts'
import { within } from '../within.ts'
import { KernelPlaces, type Place } from './kernel-places.ts'
import type { CachedEntry } from './lease.ts'

/** What the kernel is told; see Notifier. */
export interface KernelNames {
  /** Waits for requests in `dir` that are not answered. Resolves when it is gone; never rejects. */
  forgetName(dir: bigint, name: Uint8Array): Promise<void>
}

export interface Around {
  readonly kernel: KernelNames
  /** Where a name leads, if a lease says so. */
  readonly entry: (dir: bigint, name: Uint8Array) => CachedEntry | undefined
  /**
   * What a thread that waits for the answer to a request does in a rename(2), as far as can be known; undefined: it is in
   * none. A promise, which never rejects, while it does not wait yet.
   */
  readonly renaming: (pid: number) => Doing | Promise<Doing>
}

/** It looks a name up, or asks whether what it knows of a name is still so: if not, it looks it up next. */
export type Renaming = 'looks up' | 'revalidates'

type Doing = Renaming | undefined

/** 'stale': ESTALE; 'absent': that there is no such name. */
export type Instead = 'stale' | 'absent' | undefined

/** A rename that looks up its names once more. */
interface SecondLook {
  /** Where it has found inodes by now. */
  readonly found: Map<bigint, string>
  /** What it is about to be told is our word, and not the servers'. */
  isOurWord: boolean
}

/** A name that is not gone by then is kept by a request that may wait for ours. */
const patienceMs = 100
const directoriesMax = 65_536
/** Names end in the kernel after a second: no rename is under way with one that was told before so many others. */
const filesMax = 16_384
const renamesMax = 1024

/**
 * Keeps the kernel from believing in names under which other hosts have left nothing. A rename(2) looks up one name, then
 * the other, with their directories locked, and the first may be gone by the time of the second. When one inode is
 * found under both, the kernel says that all is well and asks nobody (fs/namei.c, vfs_rename). When it is a directory,
 * the kernel, which keeps one name of each, has to take it from one to the other, and a rename with two parents can't:
 * it fails with ESTALE (fs/dcache.c, __d_unalias).
 *
 * So for a rename a lookup that finds an inode which the kernel was told to have another name is ESTALE: then the kernel
 * looks up both names anew, and trusts none (LOOKUP_REVAL). It does so once, and would give the program the next ESTALE:
 * when it finds the same inode a second time under both, the new name is said to be absent, so that it asks servers to
 * rename. Others than renames are not told so: some pass it on, those that make something.
 *
 * Of a directory the kernel is made to forget the old name. Only when it can't, as that is locked, is it ESTALE. While
 * something in it is in use here it stays in its old place.
 */
export class MovedInodes {
  readonly #kernel: KernelNames
  readonly #entry: (dir: bigint, name: Uint8Array) => CachedEntry | undefined
  readonly #renaming: Around['renaming']
  /** One name for each, once it is looked up. */
  readonly #directories = new KernelPlaces((attributes) => isOfType(attributes, 'directory'), directoriesMax)
  readonly #files = new KernelPlaces((attributes) => !isOfType(attributes, 'directory'), filesMax)
  /** By directory: old names that are being forgotten. */
  readonly #forgetting = new Map<bigint, Promise<unknown>>()
  /** By thread: renames that were ESTALE, and look up their names once more. */
  readonly #again = new Map<number, SecondLook>()

  constructor({ entry, kernel, renaming }: Around) {
    this.#kernel = kernel
    this.#entry = entry
    this.#renaming = renaming
  }

  /** That is about to be answered to the kernel. */
  answered(call: FileCall, result: FileResult): void {
    this.#directories.answered(call, result)
    // Names in a listing get no time: before a rename uses one of a file, the kernel looks it up.
    if (result.$case !== 'listing') this.#files.answered(call, result)
  }

  /** A lookup of that thread is answered with an error, or that there is no such name: the kernel has nothing there then. */
  isNothingAt(place: Place, pid: number): void {
    this.#directories.forget(place)
    this.#files.forget(place)
    const again = this.#again.get(pid)
    if (again === undefined) return
    if (again.isOurWord) again.isOurWord = false
    // Of the old name it is the end of the rename, and of the new one the last that it looks up.
    else if (this.#renaming(pid) !== 'revalidates') this.#again.delete(pid)
  }

  /** The thread has looked up both names, and asks to have it done. */
  renames(pid: number): void {
    this.#again.delete(pid)
  }

  /** The thread asks something: what its last rename was told does not count for the next. */
  asks(pid: number): void {
    if (this.#again.has(pid) && this.#renaming(pid) === undefined) this.#again.delete(pid)
  }

  /** Might the thread have to be told something else than that? Then `instead` says it, of what servers say. */
  isDoubtful(call: FileCall, result: FileResult, pid: number): boolean {
    const found = foundBy(call, result)
    if (found === undefined) return false
    const { attributes, place } = found
    if (this.#again.has(pid)) return true
    if (!isOfType(attributes, 'directory')) return this.#filesElsewhere(place, attributes.ino).length > 0
    return this.#forgetting.has(attributes.ino) || this.#directories.elsewhere(place, attributes.ino).length > 0
  }

  /** What the thread `pid` is to be told instead of that, and is told then; undefined: nothing else. The promise never rejects. */
  instead(call: FileCall, result: FileResult, pid: number): Instead | Promise<Instead> {
    const found = foundBy(call, result)
    if (found === undefined) return undefined
    const { attributes, place } = found
    const { ino } = attributes
    const again = this.#again.get(pid)
    if (again !== undefined && isUnderAnotherName(again.found, place, ino)) {
      again.isOurWord = true
      return 'absent'
    }
    if (isOfType(attributes, 'directory')) return this.#ofDirectory(place, ino, pid)
    return again === undefined ? this.#ofFile(place, ino, pid) : undefined
  }

  #ofFile(place: Place, ino: bigint, pid: number): Instead | Promise<Instead> {
    const old = this.#filesElsewhere(place, ino)
    if (old.length === 0) return undefined
    const doing = this.#renaming(pid)
    const say = (known: Doing): Instead => {
      // Not for others: their lookups may come between the two of a rename.
      if (known === 'looks up') for (const one of old) this.#files.forget(one)
      return this.#stale(pid, known)
    }
    return doing instanceof Promise ? doing.then(say) : say(doing)
  }

  #filesElsewhere(place: Place, ino: bigint): readonly Place[] {
    return this.#files.elsewhere(place, ino).filter(({ dir, name }) => this.#entry(dir, name) !== ino) // a hard link
  }

  #ofDirectory(place: Place, ino: bigint, pid: number): undefined | Promise<Instead> {
    this.#forgetWhereItWas(place, ino)
    const forgetting = this.#forgetting.get(ino)
    if (forgetting === undefined) return undefined
    return within(forgetting, patienceMs).then(async (isGone) =>
      isGone || this.#again.has(pid) ? undefined : this.#stale(pid, await this.#renaming(pid)),
    )
  }

  #stale(pid: number, doing: Doing): Instead {
    if (doing !== 'looks up') return doing && 'stale'
    this.#again.delete(pid)
    this.#again.set(pid, { found: new Map(), isOurWord: true })
    const [oldest] = this.#again.keys()
    if (this.#again.size > renamesMax && oldest !== undefined) this.#again.delete(oldest)
    return 'stale'
  }

  #forgetWhereItWas(place: Place, ino: bigint): void {
    const old = this.#directories.elsewhere(place, ino)
    if (old.length === 0) return
    for (const one of old) this.#directories.forget(one)
    const gone = old.map(({ dir, name }) => this.#kernel.forgetName(dir, name))
    const all = Promise.all([this.#forgetting.get(ino), ...gone]).then(() => {
      if (this.#forgetting.get(ino) === all) this.#forgetting.delete(ino)
    })
    this.#forgetting.set(ino, all)
  }
}

function foundBy(
  call: FileCall,
  result: FileResult,
): { readonly place: Place; readonly attributes: Attributes } | undefined {
  if (call.$case !== 'lookup' || result.$case !== 'entry' || isDot(call.value.name)) return undefined
  const { attributes } = result.value
  return attributes && { place: { dir: call.value.parent, name: call.value.name }, attributes }
}

/** Of two hard links, too: then the servers find that there is nothing to do. */
function isUnderAnotherName(found: Map<bigint, string>, { dir, name }: Place, ino: bigint): boolean {
  const key = nameKey(dir, name)
  const seen = found.get(ino)
  if (seen === undefined) found.set(ino, key)
  return seen !== undefined && seen !== key
}
