import type { Ms } from '../../replication/ports.ts'
import { excludes, type Locks } from '../filesystem/lock-ranges.ts'
import type { Lock } from '../store/lock-records.ts'
import { waitsForItself } from './lock-ring.ts'

/**
 * - `turn`: the lock may be tried for
 * - `later`: not yet; who asks again soon keeps the place
 * - `ring`: it would wait for itself
 * - `full`: too many wait
 * - `lost`: this member does not decide any more
 */
export type WaitAnswer = 'turn' | 'later' | 'ring' | 'full' | 'lost'

/** Who waits says so again every so often: what is said by nobody any more is forgotten. */
const askMs = 1_000
const keepMs = 3_000
/** So long nobody else gets what somebody's turn has come for: a way to the driver and back takes far less. */
const turnMs = 1_000
/** All that wait, of all sessions. */
const waitsMax = 65_536

interface Wait {
  /** Given once within its session. */
  readonly number: bigint
  readonly ino: bigint
  readonly lock: Lock
  /** Its turn has come. */
  promised: boolean
  /** When it is answered `later`, if it is being asked for; else when it is forgotten. */
  until: Ms
  answer: ((answer: WaitAnswer) => void) | undefined
}

/**
 * Who waits for locks, in order of arrival, in the memory of the primary alone: whoever waits asks again at the next one.
 * A turn is no lock: that is only taken by the change which follows. So nothing here can be lost, or done twice.
 */
export class LockWaits {
  readonly #locksOn: (ino: bigint) => Locks
  readonly #now: () => Ms
  /** invariant: no queue is empty */
  readonly #queues = new Map<bigint, Wait[]>()
  #count = 0

  /** `locksOn`: what is held, or about to be. */
  constructor(locksOn: (ino: bigint) => Locks, now: () => Ms) {
    this.#locksOn = locksOn
    this.#now = now
  }

  get count(): number {
    return this.#count
  }

  /** Stands in line, or asks again from where one stands. */
  ask(ino: bigint, lock: Lock, number: bigint): Promise<WaitAnswer> {
    const wait = this.#find(ino, lock.session, number) ?? this.#join({ ino, lock, number })
    if (wait === undefined) return Promise.resolve('full')
    this.#settle(wait, 'later', keepMs)
    this.wake(ino)
    if (wait.promised) {
      wait.until = this.#now() + turnMs
      return Promise.resolve('turn')
    }
    if (!lock.flock && waitsForItself(wait, this.#waiting(), this.#locksOn)) {
      this.#remove(wait)
      return Promise.resolve('ring')
    }
    wait.until = this.#now() + askMs
    return new Promise((resolve) => {
      wait.answer = resolve
    })
  }

  /** Gives up a place, if there is one: it was tried for, or is not wanted any more. */
  leave(ino: bigint, session: bigint, number: bigint): void {
    const wait = this.#find(ino, session, number)
    if (wait === undefined) return
    this.#settle(wait, 'later', 0)
    this.#remove(wait)
    this.wake(ino)
  }

  /** What others than this wait have been promised. */
  promised(ino: bigint, session: bigint, number: bigint): Locks {
    const others = this.#queues.get(ino)?.filter((wait) => wait.promised && !isWait(wait, session, number))
    return others?.map(({ lock }) => lock) ?? []
  }

  /** Something may have become free on the inode: the turn is of those who came first. */
  wake(ino: bigint): void {
    const queue = this.#queues.get(ino)
    if (queue === undefined) return
    const held = this.#locksOn(ino)
    for (const wait of queue) {
      if (wait.promised || held.some((lock) => excludes(lock, wait.lock))) continue
      if (queue.some((other) => other.promised && excludes(other.lock, wait.lock))) continue
      wait.promised = true
      this.#settle(wait, 'turn', turnMs)
    }
  }

  onTick(): void {
    if (this.#count === 0) return
    const now = this.#now()
    for (const [ino, queue] of [...this.#queues]) {
      for (const wait of [...queue]) {
        if (wait.until > now) continue
        if (wait.answer === undefined) this.#remove(wait)
        else this.#settle(wait, 'later', keepMs)
      }
      this.wake(ino)
    }
  }

  onSessionEnded(session: bigint): void {
    for (const [ino, queue] of [...this.#queues]) {
      for (const wait of queue.filter(({ lock }) => lock.session === session)) this.leave(ino, session, wait.number)
    }
  }

  /** This member is not the primary any more, or not yet. */
  clear(): void {
    for (const queue of this.#queues.values()) for (const wait of queue) this.#settle(wait, 'lost', 0)
    this.#queues.clear()
    this.#count = 0
  }

  /** The answer to who asks just now; it is kept for so long then. */
  #settle(wait: Wait, answer: WaitAnswer, forMs: Ms): void {
    wait.until = this.#now() + forMs
    wait.answer?.(answer)
    wait.answer = undefined
  }

  #find(ino: bigint, session: bigint, number: bigint): Wait | undefined {
    return this.#queues.get(ino)?.find((wait) => isWait(wait, session, number))
  }

  #join({ ino, lock, number }: Pick<Wait, 'ino' | 'lock' | 'number'>): Wait | undefined {
    if (this.#count >= waitsMax) return undefined
    const wait = { ino, lock, number, promised: false, until: this.#now(), answer: undefined }
    const queue = this.#queues.get(ino)
    if (queue === undefined) this.#queues.set(ino, [wait])
    else queue.push(wait)
    this.#count++
    return wait
  }

  #remove(wait: Wait): void {
    const queue = this.#queues.get(wait.ino)
    const place = queue?.indexOf(wait) ?? -1
    if (queue === undefined || place === -1) return
    queue.splice(place, 1)
    this.#count--
    if (queue.length === 0) this.#queues.delete(wait.ino)
  }

  *#waiting(): Generator<Wait> {
    for (const queue of this.#queues.values()) for (const wait of queue) if (!wait.promised) yield wait
  }
}

const isWait = ({ lock, number }: Wait, session: bigint, other: bigint): boolean =>
  number === other && lock.session === session
