import type { Errno } from '../../proto/errno.ts'
import type { Attributes, Caller, Entry, Hold, Lookup } from '../../proto/generated/file-service.ts'
import type { Coherence } from '../cache/coherence.ts'
import { isOfType } from '../file-type.ts'
import { isName, textOf } from '../names.ts'
import type { FileCall, FileClient, FileResult, Outcome } from '../router/file-client.ts'
import { HeldChildren } from './held-children.ts'
import { HeldDirectories, type HeldDirectory } from './held-directories.ts'
import { HeldNames } from './held-names.ts'
import { HeldRemovals } from './held-removals.ts'
import type { Holds } from './holds.ts'
import { NumberPool } from './number-pool.ts'
import { Removing } from './removing.ts'
import { ServerTime } from './server-time.ts'
import type { Steps } from './steps.ts'
import { endsPlainness, type Makes, makes, makesHere, namesOf, type Removes, removes } from './subjects.ts'
import { Taking } from './taking.ts'
import { type Made, UnderHolds } from './under-holds.ts'

export interface HeldTreeParts {
  readonly client: () => FileClient
  readonly coherence: Coherence
  readonly steps: Steps
  /** Holds on files. */
  readonly files: Holds
  readonly heldBack: { readonly isEmpty: boolean; isDirty(ino: bigint): boolean }
  readonly nowMs: () => number
  /** Gives these holds back, now. */
  readonly release: (holds: readonly Hold[]) => void
}

export interface Asking {
  readonly call: FileCall
  readonly asked: (result: FileResult | undefined, errno: Errno | undefined) => void
}

/** The hold on a directory in which nobody makes anything is given back after so long, together with others. */
const idleMs = 2_000

/** Holds on directories: when they are asked for and given back, and what is done under them meanwhile. */
export class HeldTree {
  readonly names: HeldNames
  readonly time = new ServerTime()
  readonly #parts: HeldTreeParts
  readonly #directories: HeldDirectories
  readonly #children = new HeldChildren()
  readonly #inodes: NumberPool
  readonly #removals: HeldRemovals
  readonly #removing: Removing
  readonly #taking: Taking

  constructor(parts: HeldTreeParts) {
    this.#parts = parts
    const { coherence, files, heldBack, steps } = parts
    const [children, directories] = [this.#children, new HeldDirectories(parts.nowMs)]
    const term = () => (coherence.isLeased ? coherence.term : undefined)
    const isDirty = (ino: bigint) => steps.isDirty(ino)
    const leasedEntry = (parent: bigint, name: Uint8Array) => coherence.entry(parent, name)
    const made = new Map<bigint, Made>()
    const under = new UnderHolds({
      directories,
      children,
      steps,
      time: this.time,
      term,
      fileHold: (ino) => files.standing(ino, coherence.term),
      isWriting: (ino) => heldBack.isDirty(ino),
    })
    this.#directories = directories
    this.#removing = new Removing(parts.nowMs)
    this.#taking = new Taking({
      ...parts,
      directories,
      children,
      time: this.time,
      given: (file, at) => files.given(file, at),
      isDirty,
      isNaming: (dir, name) => steps.isNaming(dir, name),
    })
    this.#inodes = new NumberPool((count) => this.#takeNumbers(count))
    const holdNumber = () => this.#taking.number()
    this.names = new HeldNames({
      directories,
      children,
      under,
      made,
      numbers: this.#inodes,
      isDirty,
      holdNumber,
      leasedEntry,
    })
    this.#removals = new HeldRemovals({
      directories,
      children,
      under,
      made,
      dropFileHold: (ino) => files.drop(ino),
      isWritingAny: () => !heldBack.isEmpty,
      removed: () => this.#removing.removed(),
      leasedEntry,
    })
  }

  /** What a request comes to that is held back, or asks about what is; undefined: it goes through. */
  answer(call: FileCall, caller: Caller, unique: bigint): Outcome | undefined {
    if (this.#directories.isUnused || !this.#parts.coherence.isLeased) return undefined
    const request = { caller, unique }
    return this.#removals.answer(call, request) ?? this.names.answer(call, request)
  }

  /** Of what is known under holds, with what is held back; undefined: the servers, or a lease, know it. */
  attributes(ino: bigint): Attributes | undefined {
    if (this.#directories.isUnused || !this.#parts.coherence.isLeased) return undefined
    return this.names.attributes(ino)
  }

  /** Resolves when this may perhaps be held back: a hold is being asked for, or what a directory is like that is held. */
  settling(call: FileCall): Promise<void> | undefined {
    if (makesHere(call)) {
      const held = this.#directories.get(call.value.parent)
      return held && this.#directories.isBusy(held.ino) ? this.#settlingOf(held) : undefined
    }
    if (!removes(call) || !this.#removing.goesOn || !this.#parts.coherence.isLeased) return undefined
    return this.#settlingRemoval(call)
  }

  /** As WriteBehind.asking. `wishes`: a hold may be wished for. */
  asking(call: FileCall, { wishes }: { wishes: boolean }): Asking {
    const names = namesOf(call)
    const gone = this.#perhapsGone(call)
    const under = makes(call) ? this.#directories.get(call.value.parent) : undefined
    for (const { dir, name } of names) {
      this.#directories.began(dir, name)
      if (name !== undefined) this.#children.forgetName(dir, name)
    }
    if (endsPlainness(call)) this.#leave(this.#directories.get(call.value.ino))
    this.#touches(call)
    const { coherence, nowMs } = this.#parts
    const { term } = coherence
    const askedMs = nowMs()
    const sent = wishes ? this.#wishing(call) : call
    const asked: Asking['asked'] = (result, errno) => {
      const isMade = result?.$case === 'entry' && makes(sent)
      const isRemoved = result !== undefined && removes(sent)
      for (const { dir } of names) this.#directories.ended(dir, { changed: isMade || isRemoved })
      if (isRemoved) {
        this.#directories.mayBeGone(gone)
        this.#removing.removed()
      }
      if (isMade) this.#madeThrough(sent, result.value, { term, under })
      if (call.$case === 'lookup') this.#looked(call.value, { result, errno }, askedMs)
    }
    return { call: sent, asked }
  }

  /** A lookup of a name in a directory that is held tells what is so until it is changed here. */
  #looked(
    { name, parent }: Lookup,
    { errno, result }: { result: FileResult | undefined; errno: Errno | undefined },
    askedMs: number,
  ): void {
    if (errno === 'ENOENT') this.#directories.isAbsent(parent, textOf(name), askedMs)
    const found = result?.$case === 'entry' ? result.value.attributes : undefined
    if (found !== undefined && isName(name) && isOfType(found, 'directory'))
      this.#directories.leadsTo(parent, textOf(name), found.ino, askedMs)
  }

  /** Something was written to it under the hold that it has itself. */
  wrote(ino: bigint): void {
    this.#children.changed(ino)
  }

  /** Somebody wants it. @returns false: it is not known here, and not on its way */
  recall({ ino, number }: Hold): boolean {
    const directory = this.#directories.get(ino)
    if (directory?.number !== number) return this.#taking.isAsking(number)
    this.#leave(directory)
    return true
  }

  released(hold: Hold): void {
    if (this.#directories.get(hold.ino)?.number === hold.number) this.#children.forgetDirectory(hold.ino)
    this.#directories.released(hold)
  }

  /** The session has ended. */
  clear(): void {
    this.#directories.clear()
    this.#children.clear()
    this.#inodes.clear()
  }

  /** Directories in which nobody changes anything any more. */
  idle(max: number): HeldDirectory[] {
    const idle: HeldDirectory[] = []
    for (const held of this.#directories.all()) {
      if (idle.length >= max) break
      if (!held.leaving && !this.#isUsed(held) && !this.#parts.steps.isDirty(held.ino)) idle.push(held)
    }
    return idle
  }

  /** The hold on the file is of use as long as that on its directory. */
  needs(ino: bigint): boolean {
    const child = this.#children.get(ino)
    const directory = child?.hold === undefined ? undefined : this.#directories.get(child.dir)
    return directory !== undefined && !directory.leaving && this.#isUsed(directory)
  }

  #isUsed({ ino, settling, usedMs }: HeldDirectory): boolean {
    return usedMs > this.#parts.nowMs() - idleMs || settling !== undefined || this.#directories.isChanging(ino)
  }

  #settlingOf(held: HeldDirectory): Promise<void> | undefined {
    if (held.settling !== undefined) return held.settling
    if (!this.#stands(held) || held.attributes !== undefined) return undefined
    held.settling = this.#taking.settle(held).finally(() => {
      held.settling = undefined
    })
    return held.settling
  }

  /** Who has taken away one name after another is about to take away all. */
  #settlingRemoval({ $case, value }: Removes): Promise<void> | undefined {
    const waits: Promise<void>[] = []
    const text = textOf(value.name)
    const held = this.#directories.get(value.parent)
    if (held === undefined || !this.#stands(held)) {
      if (this.#mayTake(value.parent)) waits.push(this.#taking.children(value.parent, text))
    } else {
      const settling = this.#settlingOf(held)
      if (settling !== undefined) waits.push(settling)
      const isKnown = held.tried.has(text) || this.#children.at(value.parent, text) !== undefined
      if ($case !== 'rmdir' && !isKnown && !this.#directories.isContested(value.parent))
        waits.push(this.#taking.children(value.parent, text))
    }
    if ('newParent' in value && value.newParent !== value.parent) {
      const to = this.#directories.get(value.newParent)
      const settling = to && this.#settlingOf(to)
      if (settling !== undefined) waits.push(settling)
      if (to === undefined && this.#mayTake(value.newParent)) waits.push(this.#taking.directory(value.newParent))
    }
    return waits.length === 0 ? undefined : Promise.all(waits).then(() => undefined)
  }

  #stands({ leaving, plain, term }: HeldDirectory): boolean {
    return plain && !leaving && term === this.#parts.coherence.term
  }

  #mayTake(ino: bigint): boolean {
    const isLeft = this.#directories.rests(ino) || this.#directories.isContested(ino)
    return this.#directories.get(ino)?.leaving !== true && !isLeft
  }

  /** The hold on a directory is given back when all is done that was held back under it. */
  #leave(directory: HeldDirectory | undefined): void {
    if (directory === undefined || directory.leaving) return
    this.#directories.recalled(directory)
    void this.#parts.steps.sent().then(() => this.#parts.release([directory, ...this.#leaveFiles(directory.ino)]))
  }

  /** Holds on files that came with the directory's, and under which nothing was written, are of no use without it. */
  #leaveFiles(dir: bigint): Hold[] {
    const { files, heldBack, steps } = this.#parts
    const unused: Hold[] = []
    for (const { hold, ino } of this.#children.in(dir)) {
      if (hold === undefined || heldBack.isDirty(ino) || steps.isDirty(ino)) continue
      if (files.leaveUnwritten({ ino, number: hold })) unused.push({ ino, number: hold })
    }
    return unused
  }

  /** Directories that may be taken away by it, or moved. */
  #perhapsGone(call: FileCall): readonly bigint[] | 'any' {
    if (call.$case !== 'rmdir' && call.$case !== 'rename') return []
    const inos: bigint[] = []
    const { name, parent } = call.value
    const places = [{ dir: parent, name }]
    if (call.$case === 'rename') places.push({ dir: call.value.newParent, name: call.value.newName })
    for (const place of places) {
      const ino = this.#inodeAt(place.dir, place.name)
      if (ino === undefined) return 'any'
      if (ino !== 'none') inos.push(ino)
    }
    return inos
  }

  #inodeAt(dir: bigint, name: Uint8Array): bigint | 'none' | undefined {
    const text = textOf(name)
    const held = this.#directories.get(dir)
    const known = held?.known.get(text) ?? this.#children.at(dir, text)?.ino
    if (known !== undefined) return known
    const lacks = held !== undefined && this.#stands(held) && this.#directories.lacks(held, text)
    return lacks ? 'none' : this.#parts.coherence.entry(dir, name)
  }

  /** What was known of files is so no longer. */
  #touches(call: FileCall): void {
    if (!('ino' in call.value) || call.$case === 'getattr') return
    this.#taking.fileChanged()
    if (call.$case === 'link' || endsPlainness(call)) this.#children.forgetInode(call.value.ino)
    else this.#children.changed(call.value.ino)
  }

  /** A directory that is made is about to be filled, unless others work beside it. */
  #wishing(call: FileCall): FileCall {
    if (call.$case !== 'mkdir' || this.#directories.isFull || this.#directories.rests(call.value.parent)) return call
    return { $case: 'mkdir', value: { ...call.value, take: this.#taking.number() } }
  }

  /** `under`: what was known of the directory when it was asked for. */
  #madeThrough(call: Makes, entry: Entry, { term, under }: { term: number; under: HeldDirectory | undefined }): void {
    const { attributes, hold } = entry
    const { name, parent } = call.value
    if (attributes !== undefined) this.time.heard(attributes.ctimeNs)
    if (call.$case === 'mkdir' && attributes !== undefined && hold !== undefined) {
      // An earlier driver may have asked in the same words: that hold is given back as nobody's.
      if (hold === call.value.take) this.#directories.born(attributes.ino, hold, term)
      else this.#parts.release([{ ino: attributes.ino, number: hold }])
      const stands = under !== undefined && this.#directories.get(parent) === under && this.#stands(under)
      if (stands) under.known.set(textOf(name), attributes.ino)
    }
    if (!this.#parts.coherence.isLeased || !this.#directories.isBusy(parent)) return
    this.#inodes.fill()
    void this.#taking.directory(parent)
  }

  async #takeNumbers(count: number): Promise<bigint | undefined> {
    const result = await this.#taking.ask({ $case: 'takeNumbers', value: { count } })
    return result?.$case === 'numbers' && result.value.count === count ? result.value.first : undefined
  }
}
