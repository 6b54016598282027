import { FsError } from '../../proto/errno.ts'
import type { DirectoryEntry, Hold, HeldDirectory as Taken } from '../../proto/generated/file-service.ts'
import { childrenMax } from '../../proto/holds.ts'
import type { Coherence } from '../cache/coherence.ts'
import { LeasedCall } from '../cache/leased-call.ts'
import { bytesOf, isDot, textOf } from '../names.ts'
import type { FileCall, FileClient, FileResult } from '../router/file-client.ts'
import type { HeldChildren } from './held-children.ts'
import type { HeldDirectories, HeldDirectory } from './held-directories.ts'
import { HostNumbers } from './host-numbers.ts'
import { ourselves, ownCalls } from './own-calls.ts'
import type { ServerTime } from './server-time.ts'

export interface TakingParts {
  readonly client: () => FileClient
  readonly coherence: Coherence
  readonly directories: HeldDirectories
  readonly children: HeldChildren
  readonly time: ServerTime
  /** The session has the hold on that file. @returns whether it is of use */
  readonly given: (file: Hold, term: number) => boolean
  /** Something about the inode is held back. */
  readonly isDirty: (ino: bigint) => boolean
  /** The name is about to be made or taken away by what is held back. */
  readonly isNaming: (dir: bigint, name: Uint8Array) => boolean
  /** Gives these holds back, now. */
  readonly release: (holds: readonly Hold[]) => void
}

/** Names looked at in one answer, and answers: in a greater directory only the first are held. */
const pageMax = 4096
const pagesMax = 8

/** Asks the servers for holds on directories and on files in them, and for what these are like. */
export class Taking {
  readonly #parts: TakingParts
  readonly #numbers = new HostNumbers()
  /** First numbers of holds on files that were asked for, and not answered. */
  readonly #asking = new Set<bigint>()
  #fileChanges = 0

  constructor(parts: TakingParts) {
    this.#parts = parts
  }

  /** A number for a hold. */
  number(): bigint {
    return this.#numbers.next()
  }

  /** It may be the number of a hold that the session is about to have. */
  isAsking(number: bigint): boolean {
    if (this.#parts.directories.isAsking(number)) return true
    for (const first of this.#asking) if (number >= first && number < first + BigInt(childrenMax)) return true
    return false
  }

  /** The hold on a directory, if it is of use. */
  async directory(ino: bigint): Promise<void> {
    await this.#take(ino, { names: [], all: undefined })
  }

  /** The same, and holds on files in it: on all, or from that name on in the order in which they are listed. */
  async children(ino: bigint, name: string): Promise<void> {
    const all = await this.#namesIn(ino)
    const { children, directories } = this.#parts
    const held = directories.get(ino)
    const isNew = (other: string): boolean =>
      other !== name && children.at(ino, other) === undefined && held?.tried.has(other) !== true
    const after = all.length <= childrenMax ? all : all.slice(Math.max(0, all.indexOf(name)))
    const names = [...(all.includes(name) ? [name] : []), ...after.filter(isNew)].slice(0, childrenMax)
    await this.#take(ino, { names, all })
    for (const other of [name, ...names]) directories.get(ino)?.tried.add(other)
  }

  /** A change was sent by itself: what answers that are under way say of files may be older. */
  fileChanged(): void {
    this.#fileChanges++
  }

  /** What the directory is like, when all is answered that was sent. */
  async settle(held: HeldDirectory): Promise<void> {
    const { directories, isDirty } = this.#parts
    await directories.quiet(held.ino)
    // The answer would lack it, though it may be done when the answer comes.
    if (isDirty(held.ino)) return
    const sent = directories.changesSent(held.ino)
    const result = await this.ask({ $case: 'getattr', value: { ino: held.ino } })
    if (result?.$case !== 'attributes' || directories.changesSent(held.ino) !== sent) return
    if (!isDirty(held.ino)) held.attributes = result.value
  }

  /** For ourselves. @returns undefined: it was refused */
  async ask(call: FileCall): Promise<FileResult | undefined> {
    const { client, coherence } = this.#parts
    const unique = ownCalls.ask(this.#numbers.next())
    try {
      return await new LeasedCall(client(), coherence).call(call, ourselves, { unique, step: 0 })
    } catch (error) {
      if (!(error instanceof FsError)) throw error
      return undefined
    } finally {
      client().answered?.(unique)
    }
  }

  /** `all`: names that may be in the directory; undefined: they were not looked for. */
  async #take(
    ino: bigint,
    { all, names }: { names: readonly string[]; all: readonly string[] | undefined },
  ): Promise<void> {
    const { coherence, directories, isNaming, release, time } = this.#parts
    const { term } = coherence
    const held = directories.get(ino)
    const ours = held?.plain === true && !held.leaving ? held : undefined
    if (ours !== undefined && (names.length === 0 || ours.term !== term)) return
    const number = ours?.number ?? this.number()
    if (ours === undefined && !directories.ask(ino, number)) return
    const wanted = names.filter((name) => !isNaming(ino, bytesOf(name)))
    const first = this.#numbers.block(childrenMax)
    const changed = new Set<string>()
    ours?.watching.add(changed)
    this.#asking.add(first)
    const fileChanges = this.#fileChanges
    const sent = directories.changesSent(ino)
    const wasQuiet = !directories.isChanging(ino)
    const result = await this.ask({
      $case: 'takeHold',
      value: { ino, number, names: wanted.map(bytesOf), children: first },
    })
    this.#asking.delete(first)
    ours?.watching.delete(changed)
    const taken = result?.$case === 'heldDirectory' ? result.value : undefined
    if (taken !== undefined) time.heard(taken.atNs)
    const quiet = wasQuiet && directories.changesSent(ino) === sent
    if (ours === undefined) {
      const isAll = taken?.found === all?.length && taken?.entries === BigInt(wanted.length)
      const asked = { number, term, taken, quiet, names: isAll ? all : undefined }
      if (directories.asked(ino, asked)) release([{ ino, number }])
    }
    const isKnown = ours === undefined ? quiet : wasQuiet
    const told = wanted.map((name) => (isKnown && !changed.has(name) ? name : undefined))
    this.#keep({ ino, number, term, names: told, taken, fresh: this.#fileChanges === fileChanges ? first : undefined })
  }

  /** `names`: those of which the answer still holds. `fresh`: of holds from that number on, what is said of files is new. */
  #keep(how: {
    ino: bigint
    number: bigint
    term: number
    names: readonly (string | undefined)[]
    taken: Taken | undefined
    fresh: bigint | undefined
  }): void {
    const { children, directories, given, release } = this.#parts
    const { fresh, ino: dir, names, number, taken, term } = how
    const held = directories.get(dir)
    const stands = held?.number === number && held.plain && !held.leaving
    if (!stands && taken?.hold === number && held?.number !== number) release([{ ino: dir, number }])
    const spare: Hold[] = []
    for (const { attributes, hold, index } of taken?.children ?? []) {
      const name = names[index]
      if (attributes === undefined) continue
      const { ino } = attributes
      if (hold === undefined) {
        if (stands && name !== undefined) held.known.set(name, ino)
        continue
      }
      if (!stands || name === undefined || !given({ ino, number: hold }, term)) spare.push({ ino, number: hold })
      else {
        const isFresh = fresh !== undefined && hold >= fresh && hold < fresh + BigInt(childrenMax)
        children.put({ ino, dir, name, hold, attributes: isFresh ? attributes : undefined })
      }
    }
    if (spare.length > 0) release(spare)
  }

  /** In the order in which they are listed; perhaps not all, and some that are gone. */
  async #namesIn(ino: bigint): Promise<readonly string[]> {
    const { coherence, directories } = this.#parts
    const known = directories.get(ino)?.names
    if (known !== undefined) return [...known]
    const names: string[] = []
    for (let cookie = 0n, page = 0; page < pagesMax; page++) {
      const call = { $case: 'readdir', value: { ino, cookie, count: pageMax, attributes: false } } as const
      const leased = coherence.answer(call, ourselves)?.outcome
      const result = leased?.kind === 'result' ? leased.result : await this.ask(call)
      if (result?.$case !== 'listing') break
      const { end, entries } = result.value
      for (const { name } of entries) if (!isDot(name)) names.push(textOf(name))
      const last: DirectoryEntry | undefined = entries.at(-1)
      if (end || last === undefined) break
      cookie = last.cookie
    }
    return names
  }
}
