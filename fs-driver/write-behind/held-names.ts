import type { Attributes, Caller, Setattr, Write } from '../../proto/generated/file-service.ts'
import type { CachedEntry } from '../cache/lease.ts'
import { isOfType } from '../file-type.ts'
import { isName, textOf } from '../names.ts'
import type { FileCall, Outcome } from '../router/file-client.ts'
import { extentGroupsMax } from './extent-file.ts'
import type { HeldChildren } from './held-children.ts'
import type { HeldDirectories } from './held-directories.ts'
import { type Making, mayMake, newInode, owns, privilegeBits, withData, withName } from './new-inode.ts'
import type { NumberPool } from './number-pool.ts'
import { type MakesHere, makesHere, namesOf } from './subjects.ts'
import { answered, type Made, type Request, refused, type UnderHolds, type Usable } from './under-holds.ts'

export interface HeldNameParts {
  readonly directories: HeldDirectories
  readonly children: HeldChildren
  readonly under: UnderHolds
  readonly made: Map<bigint, Made>
  readonly numbers: NumberPool
  /** Something about the inode is held back. */
  readonly isDirty: (ino: bigint) => boolean
  /** A number for a hold. */
  readonly holdNumber: () => bigint
  /** What a lease says to which inode the name leads. */
  readonly leasedEntry: (parent: bigint, name: Uint8Array) => CachedEntry | undefined
}

/** A file of which so much is written goes the way of all files, under a hold of its own. */
const fileBytesMax = 256 << 10
const linksMax = 32_000

/**
 * Names that are made under holds on directories (S1): as nobody else sees what is in such a directory, what is made in
 * it is as the servers would make it, and is known here until it is done there. What isn't plain goes through.
 */
export class HeldNames {
  readonly #parts: HeldNameParts

  constructor(parts: HeldNameParts) {
    this.#parts = parts
  }

  /** What a request comes to that is held back, or asks about what is; undefined: it goes through. */
  answer(call: FileCall, request: Request): Outcome | undefined {
    if (call.$case === 'lookup') return this.#lookup(call.value.parent, call.value.name)
    if (call.$case === 'getattr') {
      const attributes = this.attributes(call.value.ino)
      return attributes && answered({ $case: 'attributes', value: attributes })
    }
    if (call.$case === 'getxattr') {
      return this.#hasNone(call.value.ino, call.value.name) ? refused('ENODATA') : undefined
    }
    if (call.$case === 'setattr') return this.#setattr(call.value, request)
    const making = makingOf(call)
    return making && this.#make(making.call, making.making, request)
  }

  /** With what is held back; undefined: it is not known under a hold. */
  attributes(ino: bigint): Attributes | undefined {
    const { children, made: all, under } = this.#parts
    const made = all.get(ino)
    if (made !== undefined) return under.mayGoOn(made) ? made.attributes : undefined
    const child = children.get(ino)
    const directory = under.directory(child?.dir ?? ino)
    if (child === undefined || directory === undefined) return directory?.attributes
    return under.child(directory, child.name)?.attributes
  }

  /** The servers know that it was read then; steps that are held back say nothing of it. */
  readIsTold(ino: bigint, atimeNs: bigint): void {
    const { children, directories, made } = this.#parts
    for (const known of [made.get(ino), children.get(ino), directories.get(ino)]) {
      if (known?.attributes !== undefined) known.attributes = { ...known.attributes, atimeNs }
    }
  }

  /** @returns whether it was held back */
  write(write: Write, caller: Caller, unique: bigint): boolean {
    const { made: all, under } = this.#parts
    const made = all.get(write.ino)
    if (made === undefined || !under.mayGoOn(made)) return false
    const { attributes } = made
    const { data } = write
    const offset = write.append ? attributes.size : write.offset
    const fits = offset <= attributes.size && made.bytes + data.length <= fileBytesMax && data.length > 0
    const isFile = isOfType(attributes, 'file') && (attributes.mode & privilegeBits) === 0
    if (!fits || !isFile) return false
    const nowNs = under.now(attributes.ctimeNs)
    if (nowNs === undefined) return false
    const value = { ...write, offset, append: false, data: Buffer.from(data) }
    const call = { $case: 'write', value } as const
    if (!under.hold({ call, caller, unique, ino: write.ino, under: made.directory, nowNs })) return false
    made.bytes += data.length
    made.attributes = withData(attributes, offset + BigInt(data.length), nowNs)
    return true
  }

  /** A call is sent by itself: what is known of the files that it is about, or that its names lead to, is so no longer. */
  closing(call: FileCall): void {
    const { made } = this.#parts
    for (const { dir, name } of namesOf(call)) {
      for (const one of made.values()) if (one.name === name && one.directory.ino === dir) one.closed = true
    }
    const one = 'ino' in call.value ? made.get(call.value.ino) : undefined
    if (one !== undefined) one.closed = true
  }

  /** How long a file is that was made here, and that is done; undefined: more of it is held back. */
  done(ino: bigint): bigint | undefined {
    const { children, isDirty, made: all, under } = this.#parts
    const made = all.get(ino)
    if (made === undefined || isDirty(ino)) return undefined
    all.delete(ino)
    if (made.directory.known.get(made.name) === ino) made.directory.known.delete(made.name)
    const child = children.get(ino)
    if (child !== undefined && under.mayGoOn(made)) child.attributes = made.attributes
    return made.attributes.size
  }

  #lookup(parent: bigint, name: Uint8Array): Outcome | undefined {
    if (!isName(name)) return undefined
    const { directories, leasedEntry, under } = this.#parts
    const directory = under.directory(parent)
    const text = textOf(name)
    const known = directory === undefined ? leasedEntry(parent, name) : directory.known.get(text)
    const attributes =
      typeof known === 'bigint' ? this.attributes(known) : directory && under.child(directory, text)?.attributes
    if (attributes !== undefined) return answered({ $case: 'entry', value: { attributes } })
    return directory !== undefined && directories.lacks(directory, text) ? refused('ENOENT') : undefined
  }

  /** What the kernel asks for when it is about to write to a file, or to judge by its ACL: nothing that is plain has any. */
  #hasNone(ino: bigint, name: Uint8Array): boolean {
    const { made: all, under } = this.#parts
    const text = textOf(name)
    const isAcl = text === 'system.posix_acl_access' || text === 'system.posix_acl_default'
    const made = all.get(ino)
    if (made !== undefined) return under.mayGoOn(made) && (isAcl || text === 'security.capability')
    return isAcl && under.directory(ino) !== undefined
  }

  #make(call: MakesHere, making: Making, request: Request): Outcome | undefined {
    const { children, directories, holdNumber, made, numbers, under } = this.#parts
    const directory = under.directory(call.value.parent)
    if (directory === undefined || !this.#mayBeMade(directory, call, making, request.caller)) return undefined
    const nowNs = under.now(directory.attributes.ctimeNs)
    const ino = nowNs === undefined ? undefined : numbers.next()
    if (nowNs === undefined || ino === undefined) return undefined
    const attributes = newInode(directory.attributes, request.caller, making, { ino, nowNs })
    const take = making.type === 'directory' ? holdNumber() : undefined
    const held = { ...call, value: { ...call.value, newIno: ino, ...(take === undefined ? {} : { take }) } } as FileCall
    if (!under.hold({ ...request, call: held, ino, under: directory, nowNs })) return undefined
    const name = textOf(call.value.name)
    directories.add(directory, name, ino)
    directory.attributes = withName(directory.attributes, making.type, nowNs)
    if (take !== undefined) directories.made(attributes, take, directory.term)
    else {
      made.set(ino, { attributes, name, directory, bytes: 0, closed: false })
      children.put({ ino, dir: directory.ino, name, hold: undefined, attributes: undefined })
    }
    return answered({ $case: 'entry', value: { attributes } })
  }

  #mayBeMade(directory: Usable, { value: { name } }: MakesHere, making: Making, caller: Caller): boolean {
    if (!mayMake(directory.attributes, caller) || caller.groups.length > extentGroupsMax) return false
    if (!isName(name)) return false
    if (making.type === 'file' && (making.bits & privilegeBits) !== 0) return false
    if (making.type === 'symlink' && !isTarget(making.target)) return false
    const isFull = this.#parts.directories.isFull || directory.attributes.nlink >= linksMax
    if (making.type === 'directory' && isFull) return false
    return this.#parts.directories.lacks(directory, textOf(name))
  }

  /** chmod, chown and utimens of what is known here. */
  #setattr(op: Setattr, request: Request): Outcome | undefined {
    const { made: all, under } = this.#parts
    const directory = under.directory(op.ino)
    const made = all.get(op.ino)
    const known = directory?.attributes ?? (made && under.mayGoOn(made) ? made.attributes : undefined)
    const held = directory ?? made?.directory
    if (known === undefined || held === undefined || !isPlain(op, known, request.caller)) return undefined
    const nowNs = under.now(known.ctimeNs)
    if (nowNs === undefined) return undefined
    const timeOf = (change: Setattr['atime'], before: bigint): bigint =>
      change === undefined ? before : change.now ? nowNs : change.ns
    const attributes: Attributes = {
      ...known,
      mode: op.mode === undefined ? known.mode : (known.mode & ~0o7777) | (op.mode & 0o7777),
      uid: op.uid ?? known.uid,
      gid: op.gid ?? known.gid,
      atimeNs: timeOf(op.atime, known.atimeNs),
      mtimeNs: timeOf(op.mtime, known.mtimeNs),
      ctimeNs: nowNs,
    }
    const call = { $case: 'setattr', value: op } as const
    if (!under.hold({ ...request, call, ino: op.ino, under: held, nowNs })) return undefined
    if (made !== undefined) made.attributes = attributes
    if (directory !== undefined) directory.attributes = attributes
    return answered({ $case: 'attributes', value: attributes })
  }
}

function makingOf(call: FileCall): { readonly call: MakesHere; readonly making: Making } | undefined {
  if (!makesHere(call)) return undefined
  if (call.$case === 'symlink') return { call, making: { type: 'symlink', target: call.value.target } }
  const { mode, umask } = call.value
  return call.$case === 'create'
    ? { call, making: { type: 'file', bits: mode & 0o7777 & ~umask } }
    : { call, making: { type: 'directory', bits: mode & 0o1777 & ~umask } }
}

const targetBytesMax = 4095
const isTarget = (target: Uint8Array): boolean =>
  target.length > 0 && target.length <= targetBytesMax && !target.includes(0)

/** What it comes to depends on the inode's owner and mode alone. */
function isPlain(op: Setattr, known: Attributes, caller: Caller): boolean {
  if (op.size !== undefined || op.flags !== undefined || !owns(known, caller)) return false
  if ((known.mode & privilegeBits) !== 0 || ((op.mode ?? 0) & privilegeBits) !== 0) return false
  return caller.uid === 0 || (op.uid === undefined && op.gid === undefined)
}
