import { errnos, FsError } from '../../proto/errno.ts'
import type { Caller } from '../../proto/generated/file-service.ts'
import type { NodeId, Seq } from '../../proto/ids.ts'
import type { Position } from '../../replication/entry.ts'
import type { Log } from '../../replication/ports.ts'
import { heldByOthers } from '../filesystem/holds.ts'
import { operate } from '../filesystem/operate.ts'
import type { Outcome } from '../filesystem/outcome.ts'
import { listing } from '../filesystem/readdir.ts'
import type { CutOff } from '../partition.ts'
import { inodeKey } from '../store/keys.ts'
import type { Changes } from './changes.ts'
import type { Commits } from './commits.ts'
import type { Answer, FileCall, FileResult, ReplicaPort, StatePort, WallClock, Wanted } from './ports.ts'
import { lostSince } from './positions.ts'
import { RecordingView } from './recording-view.ts'
import type { Tickets } from './tickets.ts'

export interface ReadPorts {
  readonly self: NodeId
  readonly replica: ReplicaPort
  readonly state: StatePort
  readonly commits: Commits
  readonly commitAnswers: Tickets<Seq | undefined>
  readonly nowNs: WallClock
  readonly log: Log
  /** Resolves when something about this member's role may have changed, or soon. */
  readonly changed: () => Promise<void>
  readonly changes: Pick<Changes, 'release'>
  readonly cutOff: () => CutOff
}

export interface ReadHow {
  /** The highest position that the session has seen. */
  readonly seen: Position
  readonly session: bigint
  readonly wanted: Wanted
}

/** Answers from committed state, at any member that may read (R18, R19, R20). */
export class Reads {
  readonly #ports: ReadPorts

  constructor(ports: ReadPorts) {
    this.#ports = ports
  }

  /** Waits while this member may not read; when the answer is not wanted any more it is EINTR. */
  async answer(caller: Caller, call: FileCall, how: ReadHow): Promise<Answer> {
    const { session, wanted } = how
    let { seen } = how
    const { commits, replica, changed, self } = this.#ports
    let asked = false
    /** Whoever holds these does not answer. */
    let without = nothing
    while (!wanted.closed && !wanted.cancelled) {
      const standing = replica.standing(seen)
      if (standing === 'lost') return lostSince(commits.here)
      const cutOff = this.#ports.cutOff()
      if (cutOff !== 'no') {
        const stale = await this.#cutOff(caller, call, { session, refused: cutOff === 'stop' || standing === 'ahead' })
        if (stale === undefined) continue
        return stale
      }
      if (standing === 'ahead') {
        // The session has it from the primary, which says so to mirrors only with its next entry, or when it is asked.
        await Promise.race([commits.reached(seen.seq), this.#upToDate()])
        if (replica.standing(seen) === 'ahead') await changed()
        continue
      }
      if (!replica.mayRead()) {
        await changed()
        continue
      }
      const view = new RecordingView(this.#ports.state.committed)
      const from = commits.committed
      const result = await this.#evaluate(view, caller, call, { session, without })
      // What was said before a stop must not be said after it (R13).
      if (result === 'changed meanwhile' || !replica.mayRead()) continue
      // What is committed at the primary is what is committed. At a mirror, an entry that was dirty while we read and has
      // been committed since would not be found among the dirty keys any more.
      const known = replica.primary() === self || (commits.committed === from && !this.#dirty(view))
      const held = heldByOthers(this.#ports.state.committed, view.keys, session)
      if (held.length > 0) {
        const released = await this.#released(held, caller, call, { seen, session, wanted })
        if (released === 'not soon') without = new Set([...without, ...held])
        else if (released?.kind === 'ended' || (released?.kind === 'done' && released.errno !== 0)) return released
        else if (released?.kind === 'done') seen = released.position
        continue
      }
      if (asked || known) return result.kind === 'done' ? { ...result, at: from } : result
      asked = await this.#upToDate()
    }
    return this.#failed(new FsError('EINTR', 'nobody waits for it any more'))
  }

  /** Without a primary: what this member knows to be committed, however old it is, and never older than what was seen (S23). */
  async #cutOff(
    caller: Caller,
    call: FileCall,
    { session, refused }: { readonly session: bigint; readonly refused: boolean },
  ): Promise<Answer | undefined> {
    if (refused) return this.#failed(new FsError('EIO', 'this side of a partition has no primary'))
    const result = await this.#evaluate(new RecordingView(this.#ports.state.committed), caller, call, { session })
    return result === 'changed meanwhile' ? undefined : result
  }

  /** Was anything that the answer depends on touched by an entry of which this mirror doesn't know that it is committed? */
  #dirty(view: RecordingView): boolean {
    const { state } = this.#ports
    return view.keys.some((key) => state.dirty(key) !== undefined)
  }

  /** Asks the primary how far the commit has come and waits until it has come so far here; false: it could not say. */
  async #upToDate(): Promise<boolean> {
    const { commitAnswers, replica, commits, changed } = this.#ports
    const answer = commitAnswers.ask((ticket) => replica.askCommit(ticket))
    const committed = await Promise.race([answer, ticks(changed, answerTicks)])
    if (committed === undefined) {
      await changed()
      return false
    }
    return await commits.reached(committed)
  }

  /**
   * Until nobody else has a hold on these. A listing is of names: attributes of what is in it, which it may do without, are
   * waited for only while they may come soon, or a host that is gone would keep others from listing where it has worked.
   */
  async #released(
    held: bigint[],
    caller: Caller,
    call: FileCall,
    how: ReadHow,
  ): Promise<Answer | 'not soon' | undefined> {
    const released = this.#ports.changes.release(held, caller, how)
    if (call.$case !== 'readdir' || held.includes(call.value.ino)) return await released
    return await Promise.race([released, ticks(this.#ports.changed, holderTicks).then(() => 'not soon' as const)])
  }

  async #evaluate(
    view: RecordingView,
    caller: Caller,
    call: FileCall,
    { session, without = nothing }: { readonly session: bigint; readonly without?: ReadonlySet<bigint> },
  ): Promise<Answer | 'changed meanwhile'> {
    const { nowNs } = this.#ports
    try {
      const outcome = operate(view, caller, call, { nowNs: nowNs(), session })
      if (outcome.blobRead !== undefined) return await this.#contents(view, call, outcome.blobRead)
      if (outcome.scan !== undefined) return this.#done(await this.#entries(view, call, outcome.scan, without))
      return this.#done(outcome.reply)
    } catch (error) {
      return this.#failed(error)
    }
  }

  /** Size and contents must be of one state: if the inode has changed while the bytes were read, all begins anew. */
  async #contents(view: RecordingView, call: FileCall, part: Part): Promise<Answer | 'changed meanwhile'> {
    if (call.$case !== 'read') throw new TypeError(`${call.$case} reads no contents`)
    const key = inodeKey(call.value.ino)
    const before = view.get(key)
    const bytes = await this.#ports.state.readBlob(part.blob, part.offset, part.length)
    const after = this.#ports.state.committed.get(key)
    if (!same(before, after)) return 'changed meanwhile'
    return this.#done({ $case: 'data', value: Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length) })
  }

  async #entries(view: RecordingView, call: FileCall, scan: Scan, without: ReadonlySet<bigint>): Promise<FileResult> {
    if (call.$case !== 'readdir') throw new TypeError(`${call.$case} lists nothing`)
    const rows = await this.#ports.state.scan(scan.prefix, scan.from, scan.count)
    return listing(view, call.value, rows, without)
  }

  #done(reply: FileResult): Answer {
    return { kind: 'done', errno: 0, reply, position: this.#ports.commits.here }
  }

  #failed(error: unknown): Answer {
    const errno = error instanceof FsError ? errnos[error.errno] : errnos.EIO
    if (!(error instanceof FsError)) this.#ports.log('read.failed', { error: String(error), stack: stackOf(error) })
    return { kind: 'done', errno, reply: undefined, position: this.#ports.commits.here }
  }
}

type Part = NonNullable<Outcome['blobRead']>
type Scan = NonNullable<Outcome['scan']>

const nothing: ReadonlySet<bigint> = new Set()

/** An answer that takes so many ticks was lost: messages may be. */
const answerTicks = 4
/** Who is there gives a hold back sooner. */
const holderTicks = 8

async function ticks(changed: () => Promise<void>, count: number): Promise<undefined> {
  for (let tick = 0; tick < count; tick++) await changed()
  return undefined
}

const same = (a: Uint8Array | undefined, b: Uint8Array | undefined): boolean =>
  a === b || (a !== undefined && b !== undefined && Buffer.compare(a, b) === 0)
const stackOf = (error: unknown): string | undefined => (error instanceof Error ? error.stack : undefined)
