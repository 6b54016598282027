import { errnos, FsError } from '../../proto/errno.ts'
import type { AwaitLock, AwaitRelease } from '../../proto/generated/file-service.ts'
import type { NodeId } from '../../proto/ids.ts'
import { rootIno } from '../../proto/volume-number.ts'
import type { Log, Space } from '../../replication/ports.ts'
import { format, type Owner } from '../filesystem/format.ts'
import { done } from '../filesystem/inode.ts'
import { operate } from '../filesystem/operate.ts'
import { space as spaceReply } from '../filesystem/statfs.ts'
import { encodeBody } from '../store/body.ts'
import { inodeKey, sessionKey } from '../store/keys.ts'
import type { Decider } from './changes.ts'
import type { Commits } from './commits.ts'
import type { Executor } from './executor.ts'
import type { Handed, HandedAnswer } from './forwards.ts'
import type { Holds } from './holds.ts'
import type { Locks } from './locks.ts'
import { freshNumbers } from './numbers.ts'
import type { Orphans } from './orphans.ts'
import type { Attempt, Change, ReplicaPort, StatePort, WallClock } from './ports.ts'
import { lostSince } from './positions.ts'
import { RecordingView } from './recording-view.ts'
import type { Sessions } from './sessions.ts'
import type { Tickets } from './tickets.ts'

export interface LeaderPorts {
  readonly replica: ReplicaPort
  readonly state: StatePort
  readonly commits: Commits
  readonly executor: Executor
  readonly sessions: Sessions
  readonly orphans: Orphans
  readonly locks: Locks
  readonly holds: Holds
  readonly flushes: Tickets<'flushed' | 'lost'>
  readonly nowNs: WallClock
  /** To whom the top of a new volume belongs. */
  readonly owner: Owner
  readonly log: Log
  /** What is free for files on the fullest member of the set. */
  readonly space: () => Space
  readonly self: NodeId
}

/** What only the primary does, while this member is it. */
export class Leader implements Decider {
  readonly #ports: LeaderPorts
  /** Ready when what it begins with is done. */
  #reign: { ready: boolean } | undefined

  constructor(ports: LeaderPorts) {
    this.#ports = ports
  }

  get ready(): boolean {
    return this.#reign?.ready === true
  }

  /** The role may have changed. */
  async look(): Promise<void> {
    const { replica, self } = this.#ports
    if (replica.primary() !== self) {
      if (this.#reign !== undefined) this.#endReign()
      this.#reign = undefined
    } else if (this.#reign === undefined && replica.mayChange()) {
      const reign = { ready: false }
      this.#reign = reign
      const begun = await this.#begin()
      if (this.#reign !== reign) return // lost meanwhile, and perhaps won again
      if (begun) reign.ready = true
      else this.#reign = undefined
    }
  }

  #endReign(): void {
    this.#ports.locks.end()
    this.#ports.holds.end()
  }

  /** About once a second. */
  async onTick(): Promise<void> {
    if (!this.ready) return
    this.#ports.sessions.expire()
    await this.#ports.orphans.onTick()
  }

  async decide(handed: Handed, from: NodeId): Promise<HandedAnswer> {
    if (!this.ready) return { kind: 'elsewhere' }
    if (handed.kind === 'open') return await this.#ports.sessions.open(handed.hello, from)
    if (handed.kind === 'end') return await this.#ports.sessions.end(handed.session)
    const { change } = handed
    // Only who is established decides, so what is lost here is lost for good.
    const { commits, replica } = this.#ports
    if (replica.standing(handed.seen) === 'lost') return lostSince(commits.here)
    if (change.operation.$case === 'awaitLock') return await this.#awaitLock(change, change.operation.value)
    if (change.operation.$case === 'awaitRelease') return await this.#awaitRelease(change, change.operation.value)
    if (change.operation.$case === 'fsync') return await this.#flush(change)
    if (change.operation.$case === 'statfs') return this.#statfs(change)
    return await this.#ports.executor.execute(change)
  }

  async #begin(): Promise<boolean> {
    const { commits, holds, locks, nowNs, orphans, replica, sessions, state, log } = this.#ports
    if (state.pending.get(inodeKey(rootIno)) === undefined) {
      const proposal = replica.propose(encodeBody(format({ nowNs: nowNs() }, this.#ports.owner)))
      if (proposal.outcome !== 'proposed' || !(await commits.reached(proposal.seq))) return false
      log('volume.formatted', {})
    }
    const numbers = freshNumbers(state.pending, replica.status().epoch)
    if (numbers.length > 0 && replica.propose(encodeBody(numbers)).outcome !== 'proposed') return false
    await sessions.begin()
    await locks.begin()
    await holds.begin()
    orphans.begin(replica.status().epoch)
    return true
  }

  async #awaitLock(change: Change, op: AwaitLock): Promise<Attempt> {
    const { executor, locks, replica, state } = this.#ports
    if (!replica.mayChange()) return { kind: 'elsewhere' }
    if (state.pending.get(sessionKey(change.session)) === undefined) return await executor.ended(change.session)
    const answer = await locks.wait(change, op)
    // What was found while another may have been primary already must not be said (R13).
    return replica.mayRead() ? answer : { kind: 'elsewhere' }
  }

  async #awaitRelease({ session }: Change, { inos }: AwaitRelease): Promise<Attempt> {
    const { executor, holds, replica, state } = this.#ports
    if (!replica.mayChange()) return { kind: 'elsewhere' }
    if (state.pending.get(sessionKey(session)) === undefined) return await executor.ended(session)
    const released = await holds.releasedForAll(inos, session)
    return released && replica.mayRead() ? this.#done(0, done) : { kind: 'elsewhere' }
  }

  /** Everything acknowledged so far, of any inode, to the disks of the whole set. */
  async #flush({ caller, operation, session }: Change): Promise<Attempt> {
    const { state, flushes, holds, replica, nowNs } = this.#ports
    if (!replica.mayChange()) return { kind: 'elsewhere' }
    try {
      const view = new RecordingView(state.committed)
      const { reply } = operate(view, caller, operation, { nowNs: nowNs() })
      // What another host has written and holds back is written to the file, too.
      if (!(await holds.releasedForAll(holds.inTheWay(view.keys, session), session))) return { kind: 'elsewhere' }
      const outcome = await flushes.ask((ticket) => replica.flush(ticket))
      return outcome === 'lost' ? { kind: 'elsewhere' } : this.#done(0, reply)
    } catch (error) {
      return this.#failed(error)
    }
  }

  #statfs({ caller, operation }: Change): Attempt {
    const { state, replica, nowNs, space } = this.#ports
    if (!replica.mayChange()) return { kind: 'elsewhere' }
    try {
      const { inodes = 0 } = operate(state.committed, caller, operation, { nowNs: nowNs() })
      return this.#done(0, spaceReply(space(), { inodes }))
    } catch (error) {
      return this.#failed(error)
    }
  }

  #failed(error: unknown): Attempt {
    if (error instanceof FsError) return this.#done(errnos[error.errno], undefined)
    this.#ports.log('request.failed', { error: String(error), stack: error instanceof Error ? error.stack : undefined })
    return this.#done(errnos.EIO, undefined)
  }

  #done(errno: number, reply: (Attempt & { kind: 'done' })['reply']): Attempt {
    return { kind: 'done', errno, reply, position: this.#ports.commits.here }
  }
}
