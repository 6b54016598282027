import type { Attributes } from '../../proto/generated/file-service.ts'

/**
 * A file that nobody but this session can reach: its only name is in a directory that is held, and it was made there under
 * that hold, or is held itself.
 */
export interface HeldChild {
  readonly ino: bigint
  readonly dir: bigint
  readonly name: string
  /** The number of the hold on it; undefined: it was made under the directory's. */
  readonly hold: bigint | undefined
  /** With what is held back; undefined: not known any more. */
  attributes: Attributes | undefined
}

/** Of more nothing is remembered, so what is done with them goes through. */
const childrenMax = 65_536

/** Which files these are, as far as is remembered; whether the holds still stand is for others to say. */
export class HeldChildren {
  readonly #byDirectory = new Map<bigint, Map<string, HeldChild>>()
  readonly #byIno = new Map<bigint, HeldChild>()

  at(dir: bigint, name: string): HeldChild | undefined {
    return this.#byDirectory.get(dir)?.get(name)
  }

  get(ino: bigint): HeldChild | undefined {
    return this.#byIno.get(ino)
  }

  in(dir: bigint): Iterable<HeldChild> {
    return this.#byDirectory.get(dir)?.values() ?? []
  }

  put(child: HeldChild): void {
    this.forgetInode(child.ino)
    this.forgetName(child.dir, child.name)
    if (this.#byIno.size >= childrenMax) return
    this.#byIno.set(child.ino, child)
    const names = this.#byDirectory.get(child.dir)
    if (names === undefined) this.#byDirectory.set(child.dir, new Map([[child.name, child]]))
    else names.set(child.name, child)
  }

  forgetInode(ino: bigint): void {
    const child = this.#byIno.get(ino)
    if (child === undefined) return
    this.#byIno.delete(ino)
    const names = this.#byDirectory.get(child.dir)
    names?.delete(child.name)
    if (names?.size === 0) this.#byDirectory.delete(child.dir)
  }

  forgetName(dir: bigint, name: string): void {
    const child = this.at(dir, name)
    if (child !== undefined) this.forgetInode(child.ino)
  }

  forgetDirectory(dir: bigint): void {
    for (const { ino } of this.#byDirectory.get(dir)?.values() ?? []) this.#byIno.delete(ino)
    this.#byDirectory.delete(dir)
  }

  /** Something was done with it that is not known here. */
  changed(ino: bigint): void {
    const child = this.#byIno.get(ino)
    if (child !== undefined) child.attributes = undefined
  }

  clear(): void {
    this.#byDirectory.clear()
    this.#byIno.clear()
  }
}
