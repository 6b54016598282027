import { FsError } from '../../proto/errno.ts'
import type { InterruptSignal } from './file-client.ts'
import type { SlotFile, SlotRecord } from './slot-file.ts'

/** A change's name at the servers, within its session. */
export interface Slot {
  readonly slot: number
  readonly seq: bigint
  readonly session: bigint
  /** It went out before, from a driver that is no more. */
  readonly again: boolean
}

/** What names a call at the kernel. */
export interface CallName {
  readonly unique: bigint
  readonly step: number
}

interface Waiting {
  readonly name: CallName
  readonly urgent: boolean
  readonly resolve: (slot: Slot) => void
}

const reservedMax = 8

/**
 * Gives out the session's slots. Two halves, used by driver processes in turn: what the last process had under way stays
 * answerable while this one works.
 */
export class Slots {
  readonly #file: SlotFile
  readonly #seqs: bigint[]
  readonly #free: number[] = []
  readonly #before = new Map<string, SlotRecord & { readonly slot: number }>()
  readonly #waiting: Waiting[] = []
  /** So many are given to what is urgent only. */
  readonly #reserved: number
  #session: bigint

  /** `count`: slots of the session, as the servers have them. */
  constructor(file: SlotFile, count: number) {
    this.#file = file
    this.#session = file.head.session
    this.#seqs = file.records.map((record) => record?.seq ?? 0n)
    const half = count / 2
    this.#reserved = Math.min(reservedMax, half >> 2)
    const { generation } = file.head
    const first = (generation % 2) * half
    for (let slot = 0; slot < count; slot++) {
      const record = file.records[slot]
      if (record !== undefined) this.#before.set(nameOf(record), { ...record, slot })
      // A call that the process before this one was asked for again may still be asked for a third time.
      const kept = record !== undefined && record.askedAgainBy !== 0 && record.askedAgainBy >= generation - 1
      if (slot >= first && slot < first + half && !kept) this.#free.push(slot)
    }
  }

  get session(): bigint {
    return this.#session
  }

  /** The session that slots belong to from now on. */
  set session(session: bigint) {
    this.#session = session
    this.#file.setSession(session)
  }

  /** Waits, first come first served, while too many are given out. @throws FsError EINTR */
  take(name: CallName, signal: InterruptSignal | undefined, urgent = false): Slot | Promise<Slot> {
    const before = this.#before.size === 0 ? undefined : this.#before.get(nameOf(name))
    if (before !== undefined) return this.#again(before)
    if (signal?.aborted) throw interrupted()
    const slot = this.#isFor(urgent) ? this.#free.shift() : undefined
    if (slot !== undefined) return this.#put(slot, name)
    return new Promise((resolve, reject) => {
      const waiting = { name, urgent, resolve }
      this.#waiting.push(waiting)
      signal?.addEventListener('abort', () => {
        const place = this.#waiting.indexOf(waiting)
        if (place === -1) return
        this.#waiting.splice(place, 1)
        reject(interrupted())
      })
    })
  }

  giveBack({ slot, again }: Slot): void {
    if (again) return // it is of the other half, or was kept out of ours
    this.#free.push(slot)
    const place = this.#waiting.findIndex(({ urgent }) => this.#isFor(urgent))
    const [next] = place === -1 ? [] : this.#waiting.splice(place, 1)
    const given = next === undefined ? undefined : this.#free.shift()
    if (next !== undefined && given !== undefined) next.resolve(this.#put(given, next.name))
  }

  /** Nobody gets a slot any more. */
  close(): void {
    this.#waiting.length = 0
  }

  #isFor(urgent: boolean): boolean {
    return this.#free.length > (urgent ? 0 : this.#reserved)
  }

  #again(record: SlotRecord & { readonly slot: number }): Slot {
    const { slot, session, seq } = record
    this.#file.put(slot, { ...record, askedAgainBy: this.#file.head.generation })
    return { slot, seq, session, again: true }
  }

  #put(slot: number, { unique, step }: CallName): Slot {
    const seq = (this.#seqs[slot] ?? 0n) + 1n
    this.#seqs[slot] = seq
    this.#file.put(slot, { unique, step, session: this.#session, seq, askedAgainBy: 0 })
    return { slot, seq, session: this.#session, again: false }
  }
}

export const interrupted = (): FsError => new FsError('EINTR', 'interrupted before anything happened')

const nameOf = ({ unique, step }: CallName): string => `${unique}/${step}`
