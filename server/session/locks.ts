import { errnos, FsError } from '../../proto/errno.ts'
import type { AwaitLock } from '../../proto/generated/file-service.ts'
import type { Ms } from '../../replication/ports.ts'
import { loadInode } from '../filesystem/inode.ts'
import { lock, locksOn, rangeOf, wantedLock } from '../filesystem/locks.ts'
import type { At, Outcome } from '../filesystem/outcome.ts'
import type { Effect } from '../store/effect.ts'
import type { Commits } from './commits.ts'
import { LockHolders } from './lock-holders.ts'
import { LockWaits, type WaitAnswer } from './lock-waits.ts'
import type { Attempt, Change, StatePort } from './ports.ts'

export interface LockPorts {
  readonly state: Pick<StatePort, 'pending' | 'scan'>
  readonly commits: Commits
  readonly now: () => Ms
}

/**
 * Locks at the primary: they are state like any other, taken and given up by entries; who waits for them stands in line
 * here, in memory.
 */
export class Locks {
  readonly #ports: LockPorts
  readonly #holders: LockHolders
  readonly #waits: LockWaits

  constructor(ports: LockPorts) {
    this.#ports = ports
    this.#holders = new LockHolders(ports.state)
    this.#waits = new LockWaits((ino) => locksOn(ports.state.pending, ino), ports.now)
  }

  /** A reign begins. */
  async begin(): Promise<void> {
    this.#waits.clear()
    await this.#holders.begin()
  }

  /** A reign has ended. */
  end(): void {
    this.#waits.clear()
  }

  onTick(): void {
    this.#waits.onTick()
  }

  /** Tries for a lock: what somebody else has been promised counts as held. @throws FsError */
  attempt({ caller, session }: Change, op: Parameters<typeof lock>[2], at: At): Outcome {
    const { ino } = rangeOf(op.range)
    if (!this.#holders.mayLock(session, ino)) throw new FsError('ENOLCK', 'the session has locks on too many files')
    return lock(this.#ports.state.pending, caller, op, at, this.#waits.promised(ino, session, op.wait))
  }

  /** A change of a session's locks is in the journal: pending state shows it. */
  proposed({ operation, session }: Change): void {
    if (operation.$case === 'releaseLocks') return this.#changed(session, operation.value.ino)
    if (operation.$case !== 'lock' && operation.$case !== 'unlock') return
    const { range } = operation.value
    if (range === undefined) return
    if (operation.$case === 'lock') this.#waits.leave(range.ino, session, operation.value.wait)
    this.#changed(session, range.ino)
  }

  /** Waits until the lock may be tried for. */
  async wait(change: Change, op: AwaitLock): Promise<Attempt> {
    const { session } = change
    try {
      const range = rangeOf(op.range)
      const wanted = wantedLock(range, { nowNs: 0n, session })
      if (op.leave) this.#waits.leave(range.ino, session, op.wait)
      if (op.leave) return this.#answer(0)
      loadInode(this.#ports.state.pending, range.ino)
      return this.#answered(await this.#waits.ask(range.ino, wanted, op.wait))
    } catch (error) {
      if (error instanceof FsError) return this.#answer(errnos[error.errno])
      throw error
    }
  }

  /** What frees all that a session has: to go into the entry that ends it (R32). */
  freeing(session: bigint): Iterable<Effect> {
    return this.#holders.freeing(session)
  }

  /** That entry is in the journal. */
  onSessionEnded(session: bigint): void {
    const freed = [...this.#holders.lockedBy(session)]
    this.#holders.ended(session)
    this.#waits.onSessionEnded(session)
    for (const ino of freed) this.#waits.wake(ino)
  }

  #changed(session: bigint, ino: bigint): void {
    this.#holders.look(session, ino)
    this.#waits.wake(ino)
  }

  #answered(answer: WaitAnswer): Attempt {
    switch (answer) {
      case 'turn':
        return this.#answer(0)
      case 'later':
        return this.#answer(errnos.EAGAIN)
      case 'ring':
        return this.#answer(errnos.EDEADLK)
      case 'full':
        return this.#answer(errnos.ENOLCK)
      case 'lost':
        return { kind: 'elsewhere' }
    }
  }

  #answer(errno: number): Attempt {
    const reply = errno === 0 ? ({ $case: 'done', value: {} } as const) : undefined
    return { kind: 'done', errno, reply, position: this.#ports.commits.here }
  }
}
