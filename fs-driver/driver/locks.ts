import { type Errno, errnos, FsError } from '../../proto/errno.ts'
import type { Caller, LockRange, ReleaseLocks } from '../../proto/generated/file-service.ts'
import type { ReplyBody } from '../protocol/reply.ts'
import type { FileClient, InterruptSignal } from '../router/file-client.ts'
import type { HeldLocks } from './held-locks.ts'
import { interruptible } from './interruptible.ts'

/** What requests want of locks. */
export type LockPlan =
  | {
      readonly kind: 'lock'
      readonly range: LockRange
      readonly handle: bigint
      readonly waits: boolean
      /** What is said if it is not free, and not waited for; standard is EAGAIN. */
      readonly refusal?: Errno
    }
  | { readonly kind: 'unlock'; readonly range: LockRange }
  /** A descriptor was closed: what its process has locked with fcntl(2) goes, through whatever descriptor. */
  | { readonly kind: 'flush'; readonly ino: bigint; readonly owner: bigint }
  /** An open file was closed: what was locked through it goes. No process waits for it. */
  | { readonly kind: 'release'; readonly ino: bigint; readonly fh: bigint }

interface Asking {
  /** The kernel's number of the request, without the bit that marks a request sent again. */
  readonly unique: bigint
  readonly caller: Caller
  readonly signal: InterruptSignal
}

/** The last byte there can be. Source: OFFSET_MAX, include/linux/fs.h. */
const lastByte = 2n ** 63n - 1n
/** EIO once is a session that has ended, or history that was lost with all hosts; again and again, a mount that ends. */
const releaseTriesMax = 2
const done: ReplyBody = { kind: 'done' }

/** Locks, as the servers keep them. Waiting is asking again, so that it occupies nothing (S26). */
export class LockCalls {
  readonly #client: FileClient
  readonly #held: HeldLocks
  /** By inode. The kernel closes files without waiting: who locks next must not find what is just being released. */
  readonly #releasing = new Map<bigint, Promise<void>>()

  constructor(client: FileClient, held: HeldLocks) {
    this.#client = client
    this.#held = held
  }

  /** Nothing has to be asked for it. */
  isNothing(plan: LockPlan): boolean {
    if (plan.kind === 'flush') return !this.#held.mayOwn(plan.ino, plan.owner)
    return plan.kind === 'release' && !this.#held.isThrough(plan.ino, plan.fh)
  }

  /** @throws FsError */
  async perform(plan: LockPlan, asking: Asking): Promise<ReplyBody> {
    switch (plan.kind) {
      case 'lock':
        return await this.#lock(plan, asking)
      case 'unlock':
        return await this.#unlock(plan.range, asking)
      case 'flush': {
        const { ino, owner } = plan
        return await this.#unlock({ ino, owner, flock: false, exclusive: false, start: 0n, end: lastByte }, asking)
      }
      case 'release':
        return await this.#release(plan, asking)
    }
  }

  async #lock(plan: LockPlan & { kind: 'lock' }, asking: Asking): Promise<ReplyBody> {
    const { range, handle, waits, refusal = 'EAGAIN' } = plan
    const { unique, caller, signal } = asking
    this.#held.trying(range, handle)
    try {
      const releasing = this.#releasing.get(range.ino)
      if (releasing !== undefined) await interruptible(releasing, signal)
      for (let step = 0; ; step += 2) {
        const call = { $case: 'lock', value: { range, handle, wait: step === 0 ? 0n : unique } } as const
        const result = await this.#client.call(call, caller, { unique, step, signal })
        if (result.$case !== 'locked') throw new Error(`the server answered ${result.$case} to a lock`)
        if (result.value.granted) return done
        if (!waits) return { kind: 'error', errno: errnos[refusal] }
        await this.#turn(range, asking, step + 1)
      }
    } finally {
      this.#held.tried(range)
    }
  }

  /** Resolves when the lock may be tried for again. @throws FsError EINTR, EDEADLK, ENOLCK, ESTALE, EIO */
  async #turn(range: LockRange, { unique, caller, signal }: Asking, step: number): Promise<void> {
    const value = { range, wait: unique, leave: false }
    for (;;) {
      try {
        if (signal.aborted) throw new FsError('EINTR', 'interrupted while it waited for a lock')
        await this.#client.call({ $case: 'awaitLock', value }, caller, { unique, step, signal })
        return
      } catch (error) {
        if (!(error instanceof FsError) || error.errno !== 'EAGAIN') {
          this.#leave(value, caller, { unique, step })
          throw error
        }
      }
    }
  }

  /** Nobody is waited for then. If this is lost, the place is soon forgotten. */
  #leave(
    value: { readonly range: LockRange; readonly wait: bigint },
    caller: Caller,
    how: { readonly unique: bigint; readonly step: number },
  ): void {
    this.#client.call({ $case: 'awaitLock', value: { ...value, leave: true } }, caller, how).catch(() => {})
  }

  /** Not to be interrupted: a lock that stays is worse than a process that stays a moment longer. */
  async #unlock(range: LockRange, { unique, caller }: Asking): Promise<ReplyBody> {
    const unlocking = this.#held.unlocking(range)
    await this.#client.call({ $case: 'unlock', value: { range } }, caller, { unique, step: 0 })
    this.#held.unlocked(unlocking)
    return done
  }

  async #release({ ino, fh }: LockPlan & { kind: 'release' }, asking: Asking): Promise<ReplyBody> {
    const released = this.#releaseLocks({ ino, handle: fh }, asking)
    const all = Promise.all([released, this.#releasing.get(ino)]).then(
      () => {},
      () => {},
    )
    this.#releasing.set(ino, all)
    try {
      await released
    } finally {
      if (this.#releasing.get(ino) === all) this.#releasing.delete(ino)
    }
    return done
  }

  /** However long no server answers, and if one fails: nobody else would ever ask for it. */
  async #releaseLocks(value: ReleaseLocks, { unique, caller }: Asking): Promise<void> {
    for (let step = 0; ; step++) {
      try {
        await this.#client.call({ $case: 'releaseLocks', value }, caller, { unique, step, patient: true })
        return
      } catch (error) {
        if (step === releaseTriesMax || !(error instanceof FsError)) throw error
      }
    }
  }
}
