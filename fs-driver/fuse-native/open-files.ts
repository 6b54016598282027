import { FsError } from '../../proto/errno.ts'

interface OpenFile {
  readonly ino: bigint
  readonly append: boolean
}

/** What is open through this mount, by the numbers that libfuse gives back. */
export class OpenFiles {
  readonly #files = new Map<number, OpenFile>()
  readonly #uses = new Map<bigint, number>()
  #last = 0

  isOpen(ino: bigint): boolean {
    return this.#uses.has(ino)
  }

  open(ino: bigint, { append }: { readonly append: boolean }): number {
    do this.#last = (this.#last % fdMax) + 1
    while (this.#files.has(this.#last))
    this.#files.set(this.#last, { ino, append })
    this.#uses.set(ino, (this.#uses.get(ino) ?? 0) + 1)
    return this.#last
  }

  /** @throws FsError EBADF */
  find(fd: number): OpenFile {
    const file = this.#files.get(fd)
    if (file === undefined) throw new FsError('EBADF', `${fd} is not open`)
    return file
  }

  close(fd: number): void {
    const { ino } = this.find(fd)
    this.#files.delete(fd)
    const uses = this.#uses.get(ino) ?? 0
    if (uses <= 1) this.#uses.delete(ino)
    else this.#uses.set(ino, uses - 1)
  }
}

const fdMax = 0x7fff_ffff
