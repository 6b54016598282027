import type { IKeyValue, IWatchResponse } from 'etcd3'
import type { Advert } from '../../../proto/advert.ts'
import * as wire from '../../../proto/generated/directory-service.ts'
import { type Closable, DirectoryRefusal, type DirectoryWatcher } from '../directory.ts'
import { advertFromWire } from '../wire.ts'
import { type Endpoints, withLeader } from './endpoints.ts'
import type { Keys, Range } from './keys.ts'
import { recordOf } from './record-of.ts'

/** Between an end of the stream and the next attempt, doubled up to the limit while nothing comes of it. */
const againMs = 100
const againMsMax = 1000

interface Provider {
  readonly advert: Advert
  readonly created: number
}

/**
 * What a volume's watcher is told: everything as it is at one revision of etcd, read in one transaction, then all changes
 * from that revision on. Whatever ends the stream (a connection, a member without a leader, a compaction that has
 * overtaken us), it begins with reading again.
 */
export class VolumeWatch implements Closable {
  readonly #endpoints: Endpoints
  readonly #keys: Keys
  readonly #volume: string
  readonly #watcher: DirectoryWatcher
  readonly #deaths = new Set<string>()
  readonly #providers = new Map<string, Provider>()
  #closed = false
  #timer: NodeJS.Timeout | undefined
  #endStream = (): void => {}
  #waitMs = againMs

  /** @throws DirectoryRefusal */
  constructor(endpoints: Endpoints, keys: Keys, volume: string, watcher: DirectoryWatcher) {
    this.#endpoints = endpoints
    this.#keys = keys
    this.#volume = volume
    this.#watcher = watcher
    this.#ranges() // names that make no sense are refused at once
    void this.#begin()
  }

  close(): void {
    this.#closed = true
    clearTimeout(this.#timer)
    this.#endStream()
  }

  #ranges(): readonly [record: { readonly key: Buffer }, deaths: Range, adverts: Range] {
    const key = this.#keys.record(this.#volume)
    return [{ key }, this.#keys.deaths(), this.#keys.adverts(this.#volume)]
  }

  async #begin(): Promise<void> {
    try {
      const revision = await this.#read()
      if (!this.#closed) await this.#follow(revision)
    } catch {
      this.#again() // whoever needs an answer asks for it, and hears that there is none
    }
  }

  #again(): void {
    if (this.#closed) return
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => void this.#begin(), this.#waitMs)
    this.#waitMs = Math.min(2 * this.#waitMs, againMsMax)
  }

  /** The revision of etcd at which everything was as it has been told. */
  async #read(): Promise<number> {
    const success = this.#ranges().map((range) => ({ request_range: range }))
    const { header, responses } = await this.#endpoints.ask((etcd, options) => etcd.kv.txn({ success }, options))
    if (this.#closed) return 0
    const [record = [], deaths = [], adverts = []] = responses.map(({ response_range }) => response_range.kvs)
    const dead = new Set(deaths.map(({ key }) => key.toString()))
    for (const known of this.#deaths) if (!dead.has(known)) this.#deaths.delete(known)
    this.#providers.clear()
    for (const present of [...record, ...deaths, ...adverts]) this.#put(present)
    this.#tellProviders()
    return Number(header.revision)
  }

  async #follow(revision: number): Promise<void> {
    const { client, failed } = this.#endpoints.forStream()
    const stream = await client.watchClient.watch(withLeader)
    let over = false
    const end = (): void => {
      if (over) return
      over = true
      failed()
      stream.cancel()
      this.#again()
    }
    this.#endStream = () => {
      over = true
      stream.cancel()
    }
    stream.on('error', end)
    stream.on('end', end)
    stream.on('data', (response) => {
      if (over) return
      if (response.canceled) return end() // compacted: what we were to hear first is no longer there
      this.#waitMs = againMs
      this.#changed(response)
    })
    if (this.#closed) return this.#endStream()
    for (const range of this.#ranges()) stream.write({ create_request: { ...range, start_revision: revision + 1 } })
  }

  #changed({ events }: IWatchResponse): void {
    for (const { type, kv } of events) {
      if (type === 'Put') this.#put(kv)
      else this.#deleted(kv.key)
    }
    if (events.some(({ kv }) => !this.#isRecord(kv.key))) this.#tellProviders()
  }

  /** What can't be read (a later version's, perhaps) is passed over: who asks for the record itself is told. */
  #put(kv: IKeyValue): void {
    try {
      const name = kv.key.toString()
      if (this.#isRecord(kv.key)) this.#watcher.record(recordOf(kv))
      else if (isWithin(kv.key, this.#keys.deaths())) {
        if (this.#deaths.has(name)) return
        const [node, incarnation] = this.#keys.deadOf(kv.key)
        this.#deaths.add(name)
        this.#watcher.death(node, incarnation)
      } else {
        const advert = advertFromWire(wire.Advert.decode(kv.value))
        this.#providers.set(name, { advert, created: Number(kv.create_revision) })
      }
    } catch (error) {
      if (!(error instanceof DirectoryRefusal || error instanceof RangeError)) throw error
    }
  }

  #deleted(key: Buffer): void {
    this.#deaths.delete(key.toString())
    this.#providers.delete(key.toString())
  }

  /** Of each node the incarnation that came last, unless it is known to have ended. */
  #tellProviders(): void {
    const latest = new Map<string, Provider>()
    for (const provider of this.#providers.values()) {
      const { node, incarnation } = provider.advert
      if (this.#deaths.has(this.#keys.death(node, incarnation).toString())) continue
      if ((latest.get(node)?.created ?? 0) < provider.created) latest.set(node, provider)
    }
    this.#watcher.providers([...latest.values()].map(({ advert }) => advert))
  }

  #isRecord(key: Buffer): boolean {
    return key.equals(this.#keys.record(this.#volume))
  }
}

function isWithin(key: Buffer, range: Range): boolean {
  return key.compare(range.key) >= 0 && key.compare(range.range_end) < 0
}
