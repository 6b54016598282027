import type { Versioned } from '../replication/record.ts'
import { Member, type MemberOptions } from './member.ts'

export interface MembersOptions extends Omit<MemberOptions, 'volume' | 'stateDir'> {
  /** Of it there is a member from the start. */
  readonly first: string
  readonly storeOf: (volume: string) => string
}

/**
 * The volumes that this server has a part in. One that it was taken out of keeps its member until the process ends: a
 * process never takes part in a volume twice (S20).
 */
export class Members {
  readonly #options: MembersOptions
  readonly #members = new Map<string, Member>()
  /** Opened, being opened, or not to be opened. */
  readonly #seen = new Set<string>()
  #opening: Promise<void> = Promise.resolve()
  #started = false
  #closed = false

  constructor(options: MembersOptions) {
    this.#options = options
  }

  [Symbol.iterator](): Iterator<Member> {
    return this.#members.values()
  }

  get(volume: string): Member | undefined {
    return this.#members.get(volume)
  }

  async open(volume: string): Promise<void> {
    this.#seen.add(volume)
    const { log, storeOf } = this.#options
    const member = await Member.open({
      ...this.#options,
      volume,
      stateDir: storeOf(volume),
      log: (event, fields) => log(event, { ...fields, volume }),
    })
    this.#members.set(volume, member)
    if (this.#started) member.start()
  }

  /** From now on, who is opened takes part. */
  start(): void {
    this.#started = true
    for (const member of this) member.start()
  }

  /** Takes part in what names this node. */
  onRecords(records: ReadonlyMap<string, Versioned>): void {
    const { node } = this.#options
    for (const [volume, { record }] of records) {
      if (this.#seen.has(volume) || ![...record.members, ...record.inSync].includes(node)) continue
      this.#seen.add(volume)
      this.#opening = this.#opening.then(() => this.#join(volume))
    }
  }

  async handOver(): Promise<void> {
    this.#closed = true
    await this.#opening
    await Promise.all([...this].map((member) => member.handOver()))
  }

  leave(): void {
    for (const member of this) member.leave()
  }

  async close(): Promise<void> {
    await Promise.all([...this].map((member) => member.close()))
  }

  /** A copy that can't be opened must not take the others along: it is missing, and the log says why. */
  async #join(volume: string): Promise<void> {
    if (this.#closed) return
    const { log, node } = this.#options
    try {
      await this.open(volume)
      log('volume.joined', { node, volume })
    } catch (error) {
      log('volume.not-joined', { node, volume, error: String(error) })
    }
  }
}
