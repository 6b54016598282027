import type { Errno } from '../../proto/errno.ts'

export interface FailureParts {
  /** See HandleTable. */
  readonly open: { handlesOf(ino: bigint): readonly bigint[] }
}

/** Of so many inodes it is kept that nobody has been told; of those before only the log tells. */
const untoldMax = 4096

/**
 * What was held back and could not be kept, by file and directory, until it has been said. As Linux does (lib/errseq.c):
 * every descriptor that is open then says it once, and when none has, the next that asks.
 */
export class Failures {
  readonly #open: FailureParts['open']
  /** By handle. */
  readonly #owed = new Map<bigint, Errno>()
  /** By inode: no descriptor has said it. */
  readonly #untold = new Map<bigint, Errno>()

  constructor({ open }: FailureParts) {
    this.#open = open
  }

  failed(ino: bigint, errno: Errno): void {
    for (const fh of this.#open.handlesOf(ino)) this.#owed.set(fh, errno)
    this.#untold.delete(ino)
    this.#untold.set(ino, errno)
    for (const oldest of this.#untold.keys()) {
      if (this.#untold.size <= untoldMax) break
      this.#untold.delete(oldest)
    }
  }

  /** What a write, a flush or the close of this descriptor has to say. */
  atHandle(fh: bigint, ino: bigint): Errno | undefined {
    const errno = this.#owed.get(fh)
    if (errno === undefined) return undefined
    this.#owed.delete(fh)
    this.#untold.delete(ino)
    return errno
  }

  /** What an fsync has to say. */
  atSync(fh: bigint, ino: bigint): Errno | undefined {
    const errno = this.atHandle(fh, ino) ?? this.#untold.get(ino)
    this.#untold.delete(ino)
    return errno
  }

  closed(fh: bigint): void {
    this.#owed.delete(fh)
  }
}
