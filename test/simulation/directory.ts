import type { Versioned, VolumeRecord } from '../../replication/record.ts'
import type { Prng } from './random.ts'
import type { Timeline } from './timeline.ts'

/** How the directory fares in one run. */
export interface DirectoryProfile {
  readonly delayMs: number
  readonly jitterMs: number
  /** Chance that a question, or an answer, is lost. */
  readonly loss: number
  /** Chance that a swap is carried out much later, perhaps after its sender has died. */
  readonly late: number
  /** Chance that a watch tells an old version once more, after newer ones. */
  readonly stale: number
}

/** A swap that came after another; a version that was told when there was a newer one. */
export type DirectoryEvent = 'directory.race' | 'directory.late'

/** One process that uses the directory. */
export interface DirectoryClient {
  readonly name: string
  onRecord(versioned: Versioned): void
}

/** The service directory, as far as a volume's record goes: linearizable inside, anything but reliable to reach. */
export class SimDirectory {
  readonly #timeline: Timeline
  readonly #random: Prng
  readonly #changed: (versioned: Versioned) => void
  readonly #happened: (what: DirectoryEvent) => void
  readonly #versions: Versioned[]
  readonly #clients = new Set<DirectoryClient>()
  /** Hosts that can't reach it now: how many reasons there are for each. */
  readonly #away = new Map<string, number>()
  /** Hosts whose watches are behind, by so many ms. */
  readonly #lags = new Map<string, number>()
  profile: DirectoryProfile
  /** Swaps that were carried out, whoever won; and questions. */
  readonly traffic = { swaps: 0, reads: 0 }

  constructor(how: {
    readonly timeline: Timeline
    readonly random: Prng
    readonly profile: DirectoryProfile
    readonly record: VolumeRecord
    readonly changed: (versioned: Versioned) => void
    readonly happened: (what: DirectoryEvent) => void
  }) {
    this.#timeline = how.timeline
    this.#random = how.random
    this.profile = how.profile
    this.#changed = how.changed
    this.#happened = how.happened
    this.#versions = [{ version: 1, record: how.record }]
  }

  get current(): Versioned {
    const last = this.#versions.at(-1)
    if (last === undefined) throw new Error('the directory is empty')
    return last
  }

  swap(client: DirectoryClient, expected: number, next: VolumeRecord): void {
    this.#ask(client, () => {
      this.traffic.swaps += 1
      if (this.current.version === expected) {
        const changed = { version: expected + 1, record: next }
        this.#versions.push(changed)
        this.#changed(changed)
        for (const watcher of this.#clients) {
          if (watcher !== client) this.#tell(watcher, changed, 0, this.#lags.get(watcher.name))
        }
      } else if (this.current.record.changedBy !== next.changedBy) this.#happened('directory.race')
      this.#tell(client, this.current, this.profile.loss)
    })
  }

  read(client: DirectoryClient): void {
    this.#ask(client, () => {
      this.traffic.reads += 1
      this.#tell(client, this.current, this.profile.loss)
    })
  }

  watch(client: DirectoryClient): () => void {
    this.#clients.add(client)
    this.#tell(client)
    return () => this.#clients.delete(client)
  }

  /** Nothing goes between that host and the directory until the result is called. A watch then catches up. */
  cut(host: string): () => void {
    this.#away.set(host, (this.#away.get(host) ?? 0) + 1)
    return () => {
      this.#away.set(host, (this.#away.get(host) ?? 0) - 1)
      for (const client of this.#clients) if (client.name === host) this.#tell(client)
    }
  }

  /** What that host's watches tell comes later by so much, until the result is called. Questions are answered as ever. */
  lag(host: string, lagMs: number): () => void {
    this.#lags.set(host, lagMs)
    return () => this.#lags.delete(host)
  }

  #ask(client: DirectoryClient, carryOut: () => void): void {
    if (!this.#reaches(client) || this.#random.chance(this.profile.loss)) return
    const late = this.#random.chance(this.profile.late) ? this.#random.between(500, 4000) : 0
    this.#timeline.after(late + this.#delay(), carryOut)
  }

  /** What is told may be of any age when it arrives, and a watcher that can't be reached is told when it can. */
  #tell(client: DirectoryClient, what = this.current, loss = 0, lagMs = 0): void {
    if (this.#random.chance(loss)) return
    this.#timeline.after(lagMs + this.#delay(), () => {
      if (!this.#clients.has(client) || !this.#reaches(client)) return
      if (what.version < this.current.version) this.#happened('directory.late')
      client.onRecord(what)
      if (!this.#random.chance(this.profile.stale)) return
      const old = this.#random.pick(this.#versions)
      this.#timeline.after(this.#delay(), () => {
        if (this.#clients.has(client)) client.onRecord(old)
      })
    })
  }

  #reaches(client: DirectoryClient): boolean {
    return (this.#away.get(client.name) ?? 0) === 0
  }

  #delay(): number {
    return this.profile.delayMs + this.#random.exponential(this.profile.jitterMs)
  }
}
