import { Level } from 'level'
import type { Advert } from '../../proto/advert.ts'
import * as wire from '../../proto/generated/directory-service.ts'
import type { Incarnation, NodeId } from '../../proto/ids.ts'
import type { Versioned, VolumeRecord } from '../../replication/record.ts'
import {
  type Advertisement,
  type Closable,
  type Directory,
  DirectoryRefusal,
  DirectoryUnavailable,
  type DirectoryWatcher,
} from './directory.ts'
import { KnownDeaths } from './known-deaths.ts'
import {
  advertFromWire,
  recordFromWire,
  recordToWire,
  versionedFromWire,
  versionedToWire,
  volumeFromWire,
} from './wire.ts'

/** Adverts of one volume. A cluster has a few; a client that sends ever new names is refused. */
const advertsMax = 256
const volumesMax = 1024

interface Volume {
  record: Versioned | undefined
  readonly adverts: Map<NodeId, Advert>
  readonly watchers: Set<DirectoryWatcher>
  /** Ends with the last write that was asked for: writes of one volume are made one after the other. */
  writing: Promise<unknown>
}

/**
 * The directory of one machine, in the `up` process and on its disk: any file server may be killed. Records and deaths
 * are written with sync, records before anybody hears of them (S25); adverts live as long as their connections.
 */
export class EmbeddedDirectory implements Directory {
  readonly #level: Level<string, Uint8Array>
  readonly #volumes = new Map<string, Volume>()
  readonly #ofRecords = new Set<() => void>()
  readonly #deaths: KnownDeaths

  private constructor(level: Level<string, Uint8Array>, deaths: KnownDeaths) {
    this.#level = level
    this.#deaths = deaths
  }

  /** @throws DirectoryUnavailable when another process has it open; DirectoryRefusal when it can't be read */
  static async open(folder: string): Promise<EmbeddedDirectory> {
    const level = new Level<string, Uint8Array>(folder, { keyEncoding: 'utf8', valueEncoding: 'view' })
    try {
      await level.open()
    } catch (error) {
      throw isLocked(error)
        ? new DirectoryUnavailable(`${folder} is in use by another process`, { cause: error })
        : new DirectoryRefusal(`the directory in ${folder} cannot be opened`, { cause: error })
    }
    const directory = new EmbeddedDirectory(level, await KnownDeaths.read(level))
    for await (const [key, value] of level.iterator({ gte: 'record/', lt: 'record0' })) {
      const stored = decoded(folder, key, () => versionedFromWire(wire.VersionedRecord.decode(value)))
      directory.#volume(key.slice('record/'.length)).record = stored
    }
    return directory
  }

  async readRecord(volume: string): Promise<Versioned | undefined> {
    return this.#volume(volume).record
  }

  async readRecords(): Promise<ReadonlyMap<string, Versioned>> {
    return this.#records()
  }

  watchRecords(onChange: (records: ReadonlyMap<string, Versioned>) => void): Closable {
    let open = true
    const tell = (): void => {
      if (open) onChange(this.#records())
    }
    this.#ofRecords.add(tell)
    queueMicrotask(tell)
    return {
      close: () => {
        open = false
        this.#ofRecords.delete(tell)
      },
    }
  }

  async createRecord(volume: string, record: VolumeRecord): Promise<Versioned> {
    return await this.#write(volume, (present) => (present === undefined ? { version: 1, record } : undefined))
  }

  async swapRecord(volume: string, expected: number, next: VolumeRecord): Promise<Versioned> {
    return await this.#write(volume, (present) => {
      if (present === undefined) throw new DirectoryRefusal(`volume ${volume} has no record to change`)
      return present.version === expected ? { version: expected + 1, record: next } : undefined
    })
  }

  watch(volume: string, watcher: DirectoryWatcher): Closable {
    const entry = this.#volume(volume)
    let open = true
    queueMicrotask(() => {
      if (!open) return
      entry.watchers.add(watcher)
      if (entry.record !== undefined) watcher.record(entry.record)
      for (const [node, incarnation] of this.#deaths.all()) watcher.death(node, incarnation)
      watcher.providers([...entry.adverts.values()])
    })
    return {
      close() {
        open = false
        entry.watchers.delete(watcher)
      },
    }
  }

  advertise(volume: string, advert: Advert): Advertisement {
    const entry = this.#volume(volume)
    let mine = advertFromWire(advert)
    if (this.#deaths.has(mine.node, mine.incarnation)) {
      throw new DirectoryRefusal(`${mine.node} (${mine.incarnation}) is known to have ended`)
    }
    if (!entry.adverts.has(mine.node) && entry.adverts.size >= advertsMax) {
      throw new DirectoryRefusal(`volume ${volume} has ${advertsMax} providers already`)
    }
    const stands = (): boolean => entry.adverts.get(mine.node) === mine
    entry.adverts.set(mine.node, mine)
    tellProviders(entry)
    return {
      update(patch) {
        const { address = mine.address, load = mine.load, role = mine.role } = patch
        const same = address === mine.address && load === mine.load && role === mine.role
        if (same || !stands()) return
        mine = { ...mine, address, load, role }
        entry.adverts.set(mine.node, mine)
        tellProviders(entry)
      },
      close() {
        if (!stands()) return
        entry.adverts.delete(mine.node)
        tellProviders(entry)
      },
    }
  }

  async attestDeath(node: NodeId, incarnation: Incarnation): Promise<void> {
    if (this.#deaths.has(node, incarnation)) return
    // Told before it is on the disk: it is a fact already, and every millisecond of it is a stall. Were it lost with this
    // process, the supervisor would see it again.
    const stored = this.#deaths.add(this.#level, node, incarnation)
    for (const volume of this.#volumes.values()) {
      for (const watcher of volume.watchers) watcher.death(node, incarnation)
      if (volume.adverts.get(node)?.incarnation !== incarnation) continue
      volume.adverts.delete(node)
      tellProviders(volume)
    }
    await stored
  }

  async close(): Promise<void> {
    await Promise.allSettled([...this.#volumes.values()].map((volume) => volume.writing))
    await this.#level.close()
  }

  /** Makes the next version if `decide` gives one. Nobody hears of it before it is on the disk. */
  async #write(name: string, decide: (present: Versioned | undefined) => Versioned | undefined): Promise<Versioned> {
    const volume = this.#volume(name)
    const attempt = volume.writing.then(async () => {
      const next = decide(volume.record)
      if (next === undefined && volume.record !== undefined) return volume.record
      if (next === undefined) throw new DirectoryRefusal(`volume ${name} has no record`)
      const judged = { version: next.version, record: recordFromWire(recordToWire(next.record)) }
      const bytes = wire.VersionedRecord.encode(versionedToWire(judged)).finish()
      await this.#level.put(`record/${name}`, bytes, { sync: true })
      volume.record = judged
      for (const watcher of volume.watchers) watcher.record(judged)
      for (const tell of this.#ofRecords) tell()
      return judged
    })
    volume.writing = attempt.catch(() => {}) // whoever asked gets the error; the next write goes on from what stands
    return await attempt
  }

  #records(): ReadonlyMap<string, Versioned> {
    return new Map([...this.#volumes].flatMap(([name, { record }]) => (record === undefined ? [] : [[name, record]])))
  }

  #volume(name: string): Volume {
    const known = this.#volumes.get(volumeFromWire(name))
    if (known !== undefined) return known
    if (this.#volumes.size >= volumesMax) throw new DirectoryRefusal(`${volumesMax} volumes are known already`)
    const fresh: Volume = { record: undefined, adverts: new Map(), watchers: new Set(), writing: Promise.resolve() }
    this.#volumes.set(name, fresh)
    return fresh
  }
}

function tellProviders(volume: Volume): void {
  const adverts = [...volume.adverts.values()]
  for (const watcher of volume.watchers) watcher.providers(adverts)
}

function decoded<T>(folder: string, key: string, decode: () => T): T {
  try {
    return decode()
  } catch (error) {
    throw new DirectoryRefusal(`${key} in ${folder} cannot be read`, { cause: error })
  }
}

/** LevelDB's lock is held by a living process: it ends with it. */
export function isLocked(error: unknown): boolean {
  const cause = error instanceof Error ? error.cause : undefined
  return cause instanceof Error && 'code' in cause && cause.code === 'LEVEL_LOCKED'
}
