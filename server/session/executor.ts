import { errnos, FsError } from '../../proto/errno.ts'
import { type Caller, type CopyRange, Reply } from '../../proto/generated/file-service.ts'
import { grows } from '../../proto/route.ts'
import type { Log } from '../../replication/ports.ts'
import { sourceOf } from '../filesystem/copy-range.ts'
import { asBuffer } from '../filesystem/inode.ts'
import { operate } from '../filesystem/operate.ts'
import type { View } from '../filesystem/view.ts'
import { encodeBody } from '../store/body.ts'
import type { Effect } from '../store/effect.ts'
import { replyKey, sessionKey } from '../store/keys.ts'
import { decodeReply, encodeReply, type ReplyRecord } from '../store/session-records.ts'
import type { Commits } from './commits.ts'
import type { Holds } from './holds.ts'
import type { Locks } from './locks.ts'
import {
  type Attempt,
  type Change,
  type FileCall,
  type FileResult,
  type ReplicaPort,
  type StatePort,
  slotsMax,
  type WallClock,
} from './ports.ts'
import { RecordingView } from './recording-view.ts'
import { successorWithRoom } from './space.ts'

export interface ExecutorPorts {
  readonly replica: ReplicaPort
  readonly state: StatePort
  readonly commits: Commits
  readonly nowNs: WallClock
  readonly log: Log
  readonly locks: Locks
  readonly holds: Holds
  /** What every in-sync member has room for, of what makes the volume bigger. */
  readonly freeBytes: () => number
  /** Resolves when the store has caught up; undefined while it does not lag. */
  readonly room: () => Promise<void> | undefined
}

/** What a change came to on state, before it was made. */
interface Decision {
  readonly errno: number
  readonly reply: FileResult | undefined
  readonly effects: readonly Effect[]
}

/** Executes changes at the primary, each once (R29, R30). */
export class Executor {
  readonly #ports: ExecutorPorts
  /** Requests that made our own code throw. */
  poisoned = 0

  constructor(ports: ExecutorPorts) {
    this.#ports = ports
  }

  /**
   * Answers when the change is committed. Seqs of a slot grow; one that was refused before anything was decided leaves a
   * gap. A copy of a change under way waits for it, and gets the same answer.
   */
  async execute(change: Change): Promise<Attempt> {
    const { state, replica } = this.#ports
    for (let room = this.#ports.room(); room !== undefined; room = this.#ports.room()) await room
    const source = change.operation.$case === 'copyRange' ? await this.#source(change.operation.value) : undefined
    if (!replica.mayChange()) return { kind: 'elsewhere' }
    const { session, slot, seq } = change
    if (slot >= slotsMax || seq === 0n) return this.#refusal('EINVAL')
    if (state.pending.get(sessionKey(session)) === undefined) return this.ended(session)
    const key = replyKey(session, slot)
    const stored = state.pending.get(key)
    const last = stored === undefined ? undefined : decodeReply(stored)
    if (last !== undefined && seq === last.seq) return this.#again(change, last)
    if (last !== undefined && seq < last.seq) {
      // Misordered: answered long ago. Unless another primary knows better.
      return replica.mayRead() ? this.#refusal('EINVAL') : { kind: 'elsewhere' }
    }
    // An access time depends on nothing that is held back.
    const looks = this.#ports.holds.isUsed && change.operation.$case !== 'noteReads'
    const view = looks ? new RecordingView(state.pending) : undefined
    const { errno, reply, effects } = this.#decide(change, view ?? state.pending, source)
    const inTheWay = view === undefined ? [] : this.#ports.holds.inTheWay(view.keys, session)
    if (inTheWay.length > 0) {
      const released = await this.#ports.holds.released(inTheWay, session)
      return released ? await this.execute(change) : { kind: 'elsewhere' }
    }
    const record = encodeReply({ seq, errno, reply: reply === undefined ? nothing : encodedReply(reply) })
    const proposal = replica.propose(encodeBody([...effects, { kind: 'put', key, value: record }]))
    switch (proposal.outcome) {
      case 'not primary':
        return { kind: 'elsewhere' }
      case 'full':
        return this.#full()
      case 'proposed': {
        this.#ports.locks.proposed(change)
        this.#ports.holds.proposed(effects, holdsUsedBy(change.operation))
        const { commits } = this.#ports
        const committed = await commits.reached(proposal.seq)
        return committed
          ? { kind: 'done', errno, reply, position: commits.position(proposal.seq), at: proposal.seq }
          : { kind: 'elsewhere' }
      }
    }
  }

  /** Its end counts only when it is committed, and only here while no other primary may have opened it (R13). */
  async ended(session: bigint): Promise<Attempt> {
    const { state, commits, replica } = this.#ports
    if (!replica.mayRead()) return { kind: 'elsewhere' }
    const dirty = state.dirty(sessionKey(session))
    if (dirty !== undefined && !(await commits.reached(dirty))) return { kind: 'elsewhere' }
    return { kind: 'ended' }
  }

  #decide(change: Change, view: View, source: Buffer | undefined): Decision {
    const { nowNs, locks, log } = this.#ports
    const { caller, operation, session } = change
    try {
      const freeBytes = this.#freeFor(operation)
      if (freeBytes !== undefined && freeBytes <= 0) throw new FsError('ENOSPC', 'a member has too little space left')
      const at = { nowNs: nowNs(), session, freeBytes, source, mayHold: this.#mayHold(change) }
      const isLock = operation.$case === 'lock'
      const { reply, effects } = isLock
        ? locks.attempt(change, operation.value, at)
        : operate(view, caller, operation, at)
      return { errno: 0, reply, effects }
    } catch (error) {
      if (error instanceof FsError) return { errno: errnos[error.errno], reply: undefined, effects: [] }
      // Nothing has happened yet. The refusal is stored like any answer, so that no successor tries it again (R8).
      this.poisoned++
      log('request.poisoned', { operation: operation.$case, error: String(error), stack: stackOf(error) })
      return { errno: errnos.EIO, reply: undefined, effects: [] }
    }
  }

  /**
   * Undefined: however much there is. What was held back has been answered. There is room kept for it; where somebody else
   * has taken that meanwhile, the member without room loses its place instead.
   */
  #freeFor(operation: FileCall): number | undefined {
    const { freeBytes, holds } = this.#ports
    if (!grows(operation) || holdsUsedBy(operation).length > 0) return undefined
    return freeBytes() - holds.reservedBytes
  }

  #mayHold({ operation, session }: Change): boolean {
    if (operation.$case === 'create' || operation.$case === 'mkdir')
      return operation.value.take !== undefined && this.#ports.holds.mayTake(session, undefined)
    if (operation.$case === 'takeHold') return this.#ports.holds.mayTake(session, operation.value.ino)
    if (operation.$case !== 'write' || operation.value.take === undefined) return false
    return this.#ports.holds.mayTake(session, operation.value.ino)
  }

  /**
   * What a copy finds at its source, as it is committed now: every write that returned before it was asked for is there.
   * Undefined: it can't be read.
   */
  async #source(op: CopyRange): Promise<Buffer | undefined> {
    const { state, nowNs, log } = this.#ports
    try {
      const read = { $case: 'read', value: sourceOf(op) } as const
      const { reply, blobRead } = operate(state.committed, nobody, read, { nowNs: nowNs() })
      if (blobRead === undefined) return reply.$case === 'data' ? reply.value : undefined
      return asBuffer(await state.readBlob(blobRead.blob, blobRead.offset, blobRead.length))
    } catch (error) {
      // What is wrong with the source is decided, like everything else, on the pending state.
      if (!(error instanceof FsError)) log('copy.unreadable', { ino: op.source, error: String(error) })
      return undefined
    }
  }

  /** The reply table is part of the pending state: what it says may not be committed yet (S26). */
  async #again({ session, slot }: Change, last: ReplyRecord): Promise<Attempt> {
    const { state, commits, replica } = this.#ports
    const dirty = state.dirty(replyKey(session, slot))
    if (dirty !== undefined && !(await commits.reached(dirty))) return { kind: 'elsewhere' }
    // No entry of this reign stands behind what was committed before: a primary of the past must not say it (R13).
    if (dirty === undefined && !replica.mayRead()) return { kind: 'elsewhere' }
    const reply = last.errno === 0 ? Reply.decode(last.reply).kind : undefined
    return { kind: 'done', errno: last.errno, reply, position: commits.here }
  }

  /** The journal takes no more here: another member may go on, if it has more room; else the client must know. */
  #full(): Attempt {
    const { replica, log } = this.#ports
    const successor = successorWithRoom(replica)
    log('store.full', { handOverTo: successor })
    if (successor === undefined) return this.#refusal('ENOSPC')
    replica.handOver(successor)
    return { kind: 'elsewhere' }
  }

  #refusal(errno: 'EINVAL' | 'ENOSPC'): Attempt {
    return { kind: 'done', errno: errnos[errno], reply: undefined, position: this.#ports.commits.here }
  }
}

/** Inodes under whose holds it was held back. */
function holdsUsedBy({ $case, value }: FileCall): readonly bigint[] {
  if ($case === 'write') return value.hold === undefined ? [] : [value.ino]
  return $case === 'batch'
    ? value.steps.flatMap(({ also, under }) => [
        ...(under === undefined ? [] : [under.ino]),
        ...also.map(({ ino }) => ino),
      ])
    : []
}

/** Rights were checked when the files were opened. */
const nobody: Caller = { uid: 0, gid: 0, groups: [], pid: 0 }
const nothing = new Uint8Array(0)
const encodedReply = (kind: FileResult): Uint8Array => Reply.encode({ kind }).finish()
const stackOf = (error: unknown): string | undefined => (error instanceof Error ? error.stack : undefined)
