import type { Rename, Rmdir, Unlink } from '../../proto/generated/file-service.ts'
import type { CachedEntry } from '../cache/lease.ts'
import { isName, textOf } from '../names.ts'
import type { FileCall, Outcome } from '../router/file-client.ts'
import type { HeldChild, HeldChildren } from './held-children.ts'
import type { HeldDirectories } from './held-directories.ts'
import { mayMake, withName, withoutName } from './new-inode.ts'
import { type Removes, removes } from './subjects.ts'
import { answered, type Made, type Request, type UnderHolds, type Usable } from './under-holds.ts'

export interface HeldRemovalParts {
  readonly directories: HeldDirectories
  readonly children: HeldChildren
  readonly under: UnderHolds
  readonly made: ReadonlyMap<bigint, Made>
  /** The file is gone, or about to be: nothing more is held back under the hold on it. */
  readonly dropFileHold: (ino: bigint) => void
  /** Something that was written to some file is held back, and is not among the steps. */
  readonly isWritingAny: () => boolean
  /** Something was held back. */
  readonly removed: () => void
  readonly leasedEntry: (parent: bigint, name: Uint8Array) => CachedEntry | undefined
}

const noReplace = 1 // RENAME_NOREPLACE of Linux

/**
 * Names that are taken away, or led elsewhere, under holds (S1): on all directories concerned, and on every inode that
 * changes by it. What isn't plain goes through.
 */
export class HeldRemovals {
  readonly #parts: HeldRemovalParts

  constructor(parts: HeldRemovalParts) {
    this.#parts = parts
  }

  /** What a request comes to that is held back; undefined: it goes through. */
  answer(call: FileCall, request: Request): Outcome | undefined {
    const outcome = removes(call) ? this.#remove(call, request) : undefined
    if (outcome !== undefined) this.#parts.removed()
    return outcome
  }

  #remove(call: Removes, request: Request): Outcome | undefined {
    if (call.$case === 'unlink') return this.#unlink(call.value, request)
    return call.$case === 'rmdir' ? this.#rmdir(call.value, request) : this.#rename(call.value, request)
  }

  #unlink(op: Unlink, request: Request): Outcome | undefined {
    const { directories, under } = this.#parts
    const name = textOf(op.name)
    const directory = under.directory(op.parent)
    const child = directory && under.movable(directory, name)
    if (directory === undefined || child === undefined || !mayMake(directory.attributes, request.caller))
      return undefined
    const nowNs = this.#now([directory], [child])
    if (nowNs === undefined) return undefined
    const call = { $case: 'unlink', value: op } as const
    if (!under.hold({ ...request, call, ino: child.ino, under: directory, also: under.holdsOn(child), nowNs }))
      return undefined
    directories.remove(directory, name)
    directory.attributes = withoutName(directory.attributes, 'file', nowNs)
    this.#gone(child, nowNs)
    return done
  }

  #rmdir(op: Rmdir, request: Request): Outcome | undefined {
    const { children, directories, leasedEntry, under } = this.#parts
    const name = textOf(op.name)
    const directory = under.directory(op.parent)
    const ino = directory?.known.get(name) ?? leasedEntry(op.parent, op.name)
    const victim = typeof ino === 'bigint' ? under.directory(ino) : undefined
    if (directory === undefined || victim?.names?.size !== 0) return undefined
    if (!mayMake(directory.attributes, request.caller)) return undefined
    const nowNs = this.#now([directory, victim], [])
    if (nowNs === undefined) return undefined
    const call = { $case: 'rmdir', value: op } as const
    if (!under.hold({ ...request, call, ino: victim.ino, under: directory, also: [victim], nowNs })) return undefined
    directories.remove(directory, name)
    directory.attributes = withoutName(directory.attributes, 'directory', nowNs)
    directories.released(victim)
    children.forgetDirectory(victim.ino)
    return done
  }

  /** Of a file: what a directory is part of has to be looked at by the servers. */
  #rename(op: Rename, request: Request): Outcome | undefined {
    const { directories, isWritingAny, under } = this.#parts
    const [name, newName] = [textOf(op.name), textOf(op.newName)]
    const [from, to] = [under.directory(op.parent), under.directory(op.newParent)]
    const child = from && under.movable(from, name)
    if (from === undefined || to === undefined || child === undefined || !isName(op.newName)) return undefined
    if (!mayMake(from.attributes, request.caller) || !mayMake(to.attributes, request.caller)) return undefined
    const victim = under.movable(to, newName)
    if (victim === undefined ? !directories.lacks(to, newName) : victim === child) return undefined
    if ((op.flags & ~noReplace) !== 0 || (op.flags !== 0 && victim !== undefined)) return undefined
    // What was written before must not be seen later: after a crash either both are there or none.
    if (isWritingAny()) return undefined
    const nowNs = this.#now([from, to], victim === undefined ? [child] : [child, victim])
    if (nowNs === undefined) return undefined
    const call = { $case: 'rename', value: op } as const
    const also = [
      ...(to === from ? [] : [to]),
      ...under.holdsOn(child),
      ...(victim === undefined ? [] : under.holdsOn(victim)),
    ]
    if (!under.hold({ ...request, call, ino: child.ino, victim: victim?.ino, under: from, also, nowNs }))
      return undefined
    if (victim !== undefined) this.#gone(victim, nowNs)
    directories.remove(from, name)
    from.attributes = withoutName(from.attributes, 'file', nowNs)
    to.attributes = withName(to.attributes, 'file', nowNs)
    this.#moved(child, to, newName, nowNs)
    return done
  }

  #moved(child: HeldChild, to: Usable, name: string, nowNs: bigint): void {
    const { children, directories } = this.#parts
    const { attributes } = child
    children.put({ ...child, dir: to.ino, name, attributes: attributes && { ...attributes, ctimeNs: nowNs } })
    const made = this.#parts.made.get(child.ino)
    directories.add(to, name, made && child.ino)
    if (made === undefined) return
    made.name = name
    made.directory = to
    made.attributes = { ...made.attributes, ctimeNs: nowNs }
  }

  /** Who has it open may go on with it. */
  #gone({ ino }: HeldChild, nowNs: bigint): void {
    this.#parts.children.forgetInode(ino)
    this.#parts.dropFileHold(ino)
    const made = this.#parts.made.get(ino)
    if (made !== undefined) made.attributes = { ...made.attributes, nlink: 0, ctimeNs: nowNs }
  }

  #now(directories: readonly Usable[], children: readonly HeldChild[]): bigint | undefined {
    const changed = directories.map(({ attributes }) => attributes.ctimeNs)
    for (const { attributes, ino } of children) {
      changed.push(this.#parts.made.get(ino)?.attributes.ctimeNs ?? attributes?.ctimeNs ?? 0n)
    }
    return this.#parts.under.now(changed.reduce((a, b) => (a > b ? a : b)))
  }
}

const done = answered({ $case: 'done', value: {} })
