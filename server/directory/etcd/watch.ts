import type { IKeyValue, IWatchResponse } from 'etcd3'
import type { Advert } from '../../../proto/advert.ts'
import * as wire from '../../../proto/generated/directory-service.ts'
import { type Closable, DirectoryRefusal, type DirectoryWatcher } from '../directory.ts'
import { advertFromWire } from '../wire.ts'
import type { Endpoints } from './endpoints.ts'
import { Follow } from './follow.ts'
import type { Keys, Range } from './keys.ts'
import { recordOf } from './record-of.ts'

interface Provider {
  readonly advert: Advert
  readonly created: number
}

/** What a volume's watcher is told. */
export class VolumeWatch implements Closable {
  readonly #keys: Keys
  readonly #volume: string
  readonly #watcher: DirectoryWatcher
  readonly #follow: Follow
  readonly #deaths = new Set<string>()
  readonly #providers = new Map<string, Provider>()

  /** @throws DirectoryRefusal */
  constructor(endpoints: Endpoints, keys: Keys, volume: string, watcher: DirectoryWatcher) {
    this.#keys = keys
    this.#volume = volume
    this.#watcher = watcher
    this.#follow = new Follow(endpoints, [{ key: keys.record(volume) }, keys.deaths(), keys.adverts(volume)], {
      everything: (present) => this.#everything(present),
      changed: (events) => this.#changed(events),
    })
  }

  close(): void {
    this.#follow.close()
  }

  #everything([record = [], deaths = [], adverts = []]: readonly (readonly IKeyValue[])[]): void {
    const dead = new Set(deaths.map(({ key }) => key.toString()))
    for (const known of this.#deaths) if (!dead.has(known)) this.#deaths.delete(known)
    this.#providers.clear()
    for (const present of [...record, ...deaths, ...adverts]) this.#put(present)
    this.#tellProviders()
  }

  #changed(events: IWatchResponse['events']): void {
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
