import { type Errno, errnos } from '../../proto/errno.ts'
import type { Attributes, Caller, Hold, Step } from '../../proto/generated/file-service.ts'
import type { FileCall, FileResult, Outcome } from '../router/file-client.ts'
import type { HeldChild, HeldChildren } from './held-children.ts'
import type { HeldDirectories, HeldDirectory } from './held-directories.ts'
import type { ServerTime } from './server-time.ts'
import type { Steps } from './steps.ts'

export interface UnderHoldsParts {
  readonly directories: HeldDirectories
  readonly children: HeldChildren
  readonly steps: Steps
  readonly time: ServerTime
  /** Of leases now; undefined: they have run out, and nothing is held back. */
  readonly term: () => number | undefined
  /** The number of the hold on a file under which something may be held back now. */
  readonly fileHold: (ino: bigint) => bigint | undefined
  /** Something that was written to the file is held back, and is not among the steps. */
  readonly isWriting: (ino: bigint) => boolean
}

/** A file or symbolic link that was made here, and of which not all is done. Nobody else can know it: its directory is held. */
export interface Made {
  attributes: Attributes
  name: string
  directory: HeldDirectory
  /** Bytes held back of it here. */
  bytes: number
  /** Something else is about to be done with it: nothing more is held back of it. */
  closed: boolean
}

export type Usable = HeldDirectory & { attributes: Attributes }

export interface Request {
  readonly caller: Caller
  readonly unique: bigint
}

/** What is being held back. */
export interface Holding extends Request {
  readonly call: FileCall
  /** What it makes, changes or moves; and what it takes away beside that. */
  readonly ino: bigint
  readonly victim?: bigint | undefined
  readonly under: HeldDirectory
  readonly also?: readonly Hold[]
  readonly nowNs: bigint
}

/** What may be held back under holds on directories, as holds and leases stand now. */
export class UnderHolds {
  readonly #parts: UnderHoldsParts

  constructor(parts: UnderHoldsParts) {
    this.#parts = parts
  }

  directory(ino: bigint): Usable | undefined {
    const term = this.#parts.term()
    const directory = term === undefined ? undefined : this.#parts.directories.usable(ino, term)
    if (directory !== undefined) this.#parts.directories.used(directory)
    return directory
  }

  /** The file of that name, if nobody else can reach it. */
  child(directory: Usable, name: string): HeldChild | undefined {
    const { children, fileHold } = this.#parts
    const child = children.at(directory.ino, name)
    if (child === undefined) return undefined
    return child.hold === undefined || fileHold(child.ino) === child.hold ? child : undefined
  }

  /** The same, if all that was written to it is among the steps: it may be moved, or taken away. */
  movable(directory: Usable, name: string): HeldChild | undefined {
    const child = this.child(directory, name)
    return child === undefined || this.#parts.isWriting(child.ino) ? undefined : child
  }

  /** On the file itself, if there is one. */
  holdsOn({ ino }: HeldChild): readonly Hold[] {
    const number = this.#parts.fileHold(ino)
    return number === undefined ? [] : [{ ino, number }]
  }

  /** Its directory is still held, and nothing is done with it by others than us. */
  mayGoOn({ closed, directory }: Made): boolean {
    return !closed && !directory.leaving && directory.term === this.#parts.term()
  }

  /** The time of what is done now; undefined: it is not known, or there is no room for it. */
  now(after: bigint): bigint | undefined {
    return this.#parts.steps.hasRoom ? this.#parts.time.next(after) : undefined
  }

  /** @returns false: there is no memory for it */
  hold({ also = [], call, caller, ino, nowNs: atNs, under, unique, victim }: Holding): boolean {
    const { number } = under
    const step: Step = { call: { kind: call }, caller, atNs, under: { ino: under.ino, number }, also: [...also] }
    return this.#parts.steps.add({ unique, ino, victim, step })
  }
}

export const refused = (errno: Errno): Outcome => ({ kind: 'errno', errno: errnos[errno] })
export const answered = (result: FileResult): Outcome => ({ kind: 'result', result })
