import type { Attributes, Caller, NotedRead } from '../../proto/generated/file-service.ts'
import { needsAtime } from '../../proto/relatime.ts'
import { openFlags, type ReplyBody } from '../protocol/reply.ts'
import type { Request } from '../protocol/request.ts'
import type { FileClient } from '../router/file-client.ts'

/** What is known here of attributes; see Coherence. */
export interface KnownAttributes {
  attributes(ino: bigint): Attributes | undefined
  /** It is shown as read then, whatever the servers still say. */
  wasRead(ino: bigint, atimeNs: bigint): void
  /** The servers know of that one. */
  readIsTold(ino: bigint, atNs: bigint): void
  /** From now on what the servers say is shown. */
  forgetRead(ino: bigint): void
}

export interface AccessTimesParts {
  readonly client: FileClient
  readonly attributes: KnownAttributes
  /** Nanoseconds since 1970. */
  readonly nowNs: () => bigint
  /** @returns what takes it back */
  readonly later: (ms: number, run: () => void) => () => void
}

interface Read {
  readonly atNs: bigint
  /** What the access time was; undefined: not known. */
  readonly wasNs: bigint | undefined
}

/** Reads are gathered for so long. As long is what a driver that dies takes with it. */
const gatherMs = 5_000
/** Beyond it a read is not noted: the next one will be. */
const readsMax = 4_096
/** Of one message: the primary decides about it in one go. */
const messageMax = 512
/** How long a mount that has ended waits to say what was read last. */
const closeMs = 500

const noAtimeFlag = 0x80 // FS_NOATIME_FL, chattr +A
const openNoAtime = 0o1000000 // O_NOATIME of Linux

/** Who read may do so; that was decided then. */
const nobody: Caller = { uid: 0, gid: 0, groups: [], pid: 0 }

/**
 * Access times, as relatime has them and as cheap: what is read is noted here, shown at once to whoever asks here, and
 * told to the servers once in a while, all together. Most reads are not even noted, since an earlier one was (needsAtime).
 * What is read from the kernel's pages is not heard of: of such files an open counts as a read.
 */
export class AccessTimes {
  readonly #parts: AccessTimesParts
  readonly #reads = new Map<bigint, Read>()
  #cancel: (() => void) | undefined
  #sending: Promise<void> | undefined
  #closed = false
  /** Names our calls. Of the kernel's requests all are even; no earlier driver can have used the same. */
  #unique = (process.hrtime.bigint() << 1n) | 1n

  constructor(parts: AccessTimesParts) {
    this.#parts = parts
  }

  /** That is about to be answered to the kernel. */
  answered(request: Request, body: ReplyBody): void {
    const { nodeid } = request.header
    // Whoever sets the time has the last word.
    if (request.op === 'SETATTR' && request.args.atime !== undefined) {
      this.#reads.delete(nodeid)
      this.#parts.attributes.forgetRead(nodeid)
    } else if (isRead(request, body)) this.#note(nodeid)
  }

  /** Resolves when all that is noted now has been told, or could not be. */
  async flush(): Promise<void> {
    this.#cancel?.()
    this.#cancel = undefined
    await this.#sending
    this.#sending = this.#sendAll()
    await this.#sending
    this.#sending = undefined
    this.#arm()
  }

  /** The mount is gone. */
  async close(): Promise<void> {
    this.#closed = true
    let cancel: (() => void) | undefined
    const limit = new Promise<void>((resolve) => {
      cancel = this.#parts.later(closeMs, resolve)
    })
    await Promise.race([this.flush(), limit])
    cancel?.()
  }

  async #sendAll(): Promise<void> {
    const reads = [...this.#reads]
    this.#reads.clear()
    for (let at = 0; at < reads.length; at += messageMax) await this.#send(reads.slice(at, at + messageMax))
  }

  #note(ino: bigint): void {
    const { attributes, nowNs } = this.#parts
    const known = attributes.attributes(ino)
    const atNs = timeOfRead(nowNs(), known)
    if (atNs === undefined) return
    const noted = this.#reads.get(ino)
    if (noted === undefined && this.#reads.size >= readsMax) return
    attributes.wasRead(ino, atNs)
    this.#reads.set(ino, { atNs, wasNs: noted?.wasNs ?? known?.atimeNs })
    this.#arm()
  }

  #arm(): void {
    if (this.#cancel !== undefined || this.#sending !== undefined || this.#closed || this.#reads.size === 0) return
    this.#cancel = this.#parts.later(gatherMs, () => void this.flush())
  }

  async #send(gathered: readonly (readonly [bigint, Read])[]): Promise<void> {
    const { attributes, client } = this.#parts
    const reads = gathered.map(([ino, read]): NotedRead => ({ ino, ...read }))
    this.#unique += 2n
    const unique = this.#unique
    // When no server answers, these access times are lost: nobody waits for them.
    await client.call({ $case: 'noteReads', value: { reads } }, nobody, { unique, step: 0 }).catch(() => undefined)
    client.answered?.(unique)
    for (const { ino, atNs } of reads) attributes.readIsTold(ino, atNs)
  }
}

/** Undefined: it moves no access time. It comes after the change that the reader saw, whatever the clocks of two hosts say. */
function timeOfRead(nowNs: bigint, known: Attributes | undefined): bigint | undefined {
  if (known === undefined) return nowNs
  if (((known.flags ?? 0) & noAtimeFlag) !== 0) return undefined
  const atNs = nowNs > known.ctimeNs ? nowNs : known.ctimeNs + 1n
  return atNs > known.atimeNs && needsAtime(known, atNs) ? atNs : undefined
}

/** Does this answer give a program something to read, so that the kernel of a local file system would note the time? */
function isRead({ op, args }: Request, body: ReplyBody): boolean {
  if (op === 'READLINK') return body.kind === 'data'
  if (op !== 'READ' && op !== 'READDIR' && op !== 'READDIRPLUS' && op !== 'OPEN') return false
  if ((args.flags & openNoAtime) !== 0) return false
  // An open whose reads find pages: they do not come here.
  if (op === 'OPEN') return body.kind === 'opened' && (body.flags & openFlags.KEEP_CACHE) !== 0
  return body.kind === (op === 'READ' ? 'data' : 'listing')
}
