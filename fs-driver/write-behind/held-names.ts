import { type Errno, errnos } from '../../proto/errno.ts'
import type { Attributes, Caller, Setattr, Step, Write } from '../../proto/generated/file-service.ts'
import { isOfType } from '../file-type.ts'
import { textOf } from '../names.ts'
import type { FileCall, FileResult, Outcome } from '../router/file-client.ts'
import { extentGroupsMax } from './extent-file.ts'
import type { HeldDirectories, HeldDirectory } from './held-directories.ts'
import { type Making, mayMake, newInode, owns, privilegeBits, withData, withName } from './new-inode.ts'
import type { NumberPool } from './number-pool.ts'
import type { ServerTime } from './server-time.ts'
import type { HeldStep } from './step-files.ts'
import type { Steps } from './steps.ts'
import { type MakesHere, makesHere } from './subjects.ts'

export interface HeldNameParts {
  readonly directories: HeldDirectories
  readonly steps: Steps
  readonly numbers: NumberPool
  readonly time: ServerTime
  /** Of leases now; undefined: they have run out, and nothing is held back. */
  readonly term: () => number | undefined
  /** A number for a hold. */
  readonly holdNumber: () => bigint
  /** What a lease says to which inode the name leads. */
  readonly leasedEntry: (parent: bigint, name: Uint8Array) => bigint | undefined
}

/** A file or symbolic link that was made here, and of which not all is done. Nobody else can know it: its directory is held. */
interface Made {
  attributes: Attributes
  readonly name: string
  readonly directory: HeldDirectory
  /** Bytes held back of it here. */
  bytes: number
  /** Something else is about to be done with it: nothing more is held back of it. */
  closed: boolean
}

/** A file of which so much is written goes the way of all files, under a hold of its own. */
const fileBytesMax = 256 << 10
/** Longer names the kernel does not ask for; the servers say what is wrong with them. */
const nameBytesMax = 255
const linksMax = 32_000

/**
 * Names that are made under holds on directories (S1): as nobody else sees what is in such a directory, what is made in
 * it is as the servers would make it, and is known here until it is done there. What isn't plain goes through.
 */
export class HeldNames {
  readonly #parts: HeldNameParts
  readonly #made = new Map<bigint, Made>()

  constructor(parts: HeldNameParts) {
    this.#parts = parts
  }

  /** What a request comes to that is held back, or asks about what is; undefined: it goes through. */
  answer(call: FileCall, caller: Caller, unique: bigint): Outcome | undefined {
    const { directories, term } = this.#parts
    if (directories.isUnused && this.#made.size === 0) return undefined
    if (term() === undefined) return undefined
    if (call.$case === 'lookup') return this.#lookup(call.value.parent, call.value.name)
    if (call.$case === 'getattr') {
      const attributes = this.#attributes(call.value.ino)
      return attributes && answered({ $case: 'attributes', value: attributes })
    }
    if (call.$case === 'getxattr') {
      return this.#hasNone(call.value.ino, call.value.name) ? refused('ENODATA') : undefined
    }
    if (call.$case === 'setattr') return this.#setattr(call.value, caller, unique)
    const making = makingOf(call)
    return making && this.#make(making.call, making.making, caller, unique)
  }

  /** @returns whether it was held back */
  write(write: Write, caller: Caller, unique: bigint): boolean {
    const made = this.#made.get(write.ino)
    if (made === undefined || !this.#mayGoOn(made)) return false
    const { attributes } = made
    const { data } = write
    const offset = write.append ? attributes.size : write.offset
    const fits = offset <= attributes.size && made.bytes + data.length <= fileBytesMax && data.length > 0
    const isFile = isOfType(attributes, 'file') && (attributes.mode & privilegeBits) === 0
    if (!fits || !isFile) return false
    const nowNs = this.#parts.time.next(attributes.ctimeNs)
    if (nowNs === undefined) return false
    const value = { ...write, offset, append: false, data: Buffer.from(data) }
    if (!this.#hold({ $case: 'write', value }, write.ino, made.directory, { caller, unique, nowNs })) return false
    made.bytes += data.length
    made.attributes = withData(attributes, offset + BigInt(data.length), nowNs)
    return true
  }

  /** A call is sent by itself: what is known of these is so no longer. */
  closing(call: FileCall, all: boolean): void {
    if (all) for (const made of this.#made.values()) made.closed = true
    if (!('ino' in call.value)) return
    const made = this.#made.get(call.value.ino)
    if (made !== undefined) made.closed = true
  }

  /** How long a file is that was made here, and that is done; undefined: more of it is held back. */
  done({ ino, step }: HeldStep): bigint | undefined {
    const made = this.#made.get(ino)
    if (made === undefined || step.call?.kind === undefined) return undefined
    if (this.#parts.steps.isDirty(ino)) return undefined
    this.#made.delete(ino)
    if (made.directory.known.get(made.name) === ino) made.directory.known.delete(made.name)
    return made.attributes.size
  }

  #lookup(parent: bigint, name: Uint8Array): Outcome | undefined {
    const directory = this.#usableBy(parent)
    const text = textOf(name)
    const known = directory === undefined ? this.#parts.leasedEntry(parent, name) : directory.known.get(text)
    const attributes = known === undefined ? undefined : this.#attributes(known)
    if (attributes !== undefined) return answered({ $case: 'entry', value: { attributes } })
    if (directory === undefined) return undefined
    const isAbsent = directory.absent.has(text) || directory.names?.has(text) === false
    return isAbsent ? refused('ENOENT') : undefined
  }

  #attributes(ino: bigint): Attributes | undefined {
    const made = this.#made.get(ino)
    if (made !== undefined) return this.#mayGoOn(made) ? made.attributes : undefined
    return this.#usableBy(ino)?.attributes
  }

  /** What the kernel asks for when it is about to write to a file, or to judge by its ACL: nothing that is plain has any. */
  #hasNone(ino: bigint, name: Uint8Array): boolean {
    const text = textOf(name)
    const isAcl = text === 'system.posix_acl_access' || text === 'system.posix_acl_default'
    const made = this.#made.get(ino)
    if (made !== undefined) return this.#mayGoOn(made) && (isAcl || text === 'security.capability')
    return isAcl && this.#usableBy(ino) !== undefined
  }

  #usableBy(ino: bigint): (HeldDirectory & { attributes: Attributes }) | undefined {
    const term = this.#parts.term()
    const directory = term === undefined ? undefined : this.#parts.directories.usable(ino, term)
    if (directory !== undefined) this.#parts.directories.used(directory)
    return directory
  }

  /** Its directory is still held, and nothing is done with it by others than us. */
  #mayGoOn({ closed, directory }: Made): boolean {
    return !closed && !directory.leaving && directory.term === this.#parts.term()
  }

  #make(call: MakesHere, making: Making, caller: Caller, unique: bigint): Outcome | undefined {
    const directory = this.#usableBy(call.value.parent)
    if (directory === undefined || !this.#mayBeMade(directory, call, making, caller)) return undefined
    const { directories, holdNumber, numbers, steps, time } = this.#parts
    const nowNs = time.next(directory.attributes.ctimeNs)
    const ino = nowNs === undefined || !steps.hasRoom ? undefined : numbers.next()
    if (nowNs === undefined || ino === undefined) return undefined
    const attributes = newInode(directory.attributes, caller, making, { ino, nowNs })
    const take = making.type === 'directory' ? holdNumber() : undefined
    const held = { ...call, value: { ...call.value, newIno: ino, ...(take === undefined ? {} : { take }) } } as FileCall
    if (!this.#hold(held, ino, directory, { caller, unique, nowNs })) return undefined
    const name = textOf(call.value.name)
    directories.add(directory, name, ino)
    directory.attributes = withName(directory.attributes, making.type, nowNs)
    if (take !== undefined) directories.made(attributes, take, directory.term)
    else this.#made.set(ino, { attributes, name, directory, bytes: 0, closed: false })
    return answered({ $case: 'entry', value: { attributes } })
  }

  #mayBeMade(
    directory: HeldDirectory & { attributes: Attributes },
    { value: { name } }: MakesHere,
    making: Making,
    caller: Caller,
  ): boolean {
    if (!mayMake(directory.attributes, caller) || caller.groups.length > extentGroupsMax) return false
    if (name.length === 0 || name.length > nameBytesMax) return false
    if (making.type === 'file' && (making.bits & privilegeBits) !== 0) return false
    if (making.type === 'symlink' && !isTarget(making.target)) return false
    const isFull = this.#parts.directories.isFull || directory.attributes.nlink >= linksMax
    if (making.type === 'directory' && isFull) return false
    const text = textOf(name)
    return directory.absent.has(text) || directory.names?.has(text) === false
  }

  /** chmod, chown and utimens of what is known here. */
  #setattr(op: Setattr, caller: Caller, unique: bigint): Outcome | undefined {
    const { time } = this.#parts
    const directory = this.#usableBy(op.ino)
    const made = this.#made.get(op.ino)
    const known = directory?.attributes ?? (made && this.#mayGoOn(made) ? made.attributes : undefined)
    if (known === undefined || !isPlain(op, known, caller)) return undefined
    const nowNs = time.next(known.ctimeNs)
    if (nowNs === undefined || !this.#parts.steps.hasRoom) return undefined
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
    const under = directory ?? made?.directory
    if (under === undefined || !this.#hold({ $case: 'setattr', value: op }, op.ino, under, { caller, unique, nowNs }))
      return undefined
    if (made !== undefined) made.attributes = attributes
    if (directory !== undefined) directory.attributes = attributes
    return answered({ $case: 'attributes', value: attributes })
  }

  #hold(
    call: FileCall,
    ino: bigint,
    { ino: held, number }: HeldDirectory,
    how: { caller: Caller; unique: bigint; nowNs: bigint },
  ): boolean {
    const { caller, nowNs: atNs, unique } = how
    const step: Step = { call: { kind: call }, caller, atNs, under: { ino: held, number } }
    return this.#parts.steps.hasRoom && this.#parts.steps.add({ unique, ino, step })
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

const refused = (errno: Errno): Outcome => ({ kind: 'errno', errno: errnos[errno] })
const answered = (result: FileResult): Outcome => ({ kind: 'result', result })
const targetBytesMax = 4095
const isTarget = (target: Uint8Array): boolean =>
  target.length > 0 && target.length <= targetBytesMax && !target.includes(0)

/** What it comes to depends on the inode's owner and mode alone. */
function isPlain(op: Setattr, known: Attributes, caller: Caller): boolean {
  if (op.size !== undefined || op.flags !== undefined || !owns(known, caller)) return false
  if ((known.mode & privilegeBits) !== 0 || ((op.mode ?? 0) & privilegeBits) !== 0) return false
  return caller.uid === 0 || (op.uid === undefined && op.gid === undefined)
}
