import type { ICompare, IKeyValue, IRequestOp } from 'etcd3'
import type { Advert } from '../../../proto/advert.ts'
import * as wire from '../../../proto/generated/directory-service.ts'
import type { Incarnation, NodeId } from '../../../proto/ids.ts'
import type { Versioned, VolumeRecord } from '../../../replication/record.ts'
import {
  type Advertisement,
  type Closable,
  type Directory,
  DirectoryRefusal,
  type DirectoryWatcher,
} from '../directory.ts'
import { advertFromWire, incarnationFromWire, nodeFromWire, recordFromWire, recordToWire } from '../wire.ts'
import { LeasedAdvert } from './advert.ts'
import { Endpoints, type EtcdSettings } from './endpoints.ts'
import { Keys } from './keys.ts'
import { recordOf } from './record-of.ts'
import { recordsOf, watchRecords } from './records.ts'
import { VolumeWatch } from './watch.ts'

/**
 * An attested death stands so long. It only spares a wait for leases of seconds: whoever needed it has read it by then, or
 * waits for them.
 */
const deathS = 7 * 24 * 3600
/** Remembered per node, the latest. Who counts is named in a record, and that is one of the last few incarnations. */
const deathsPerNodeMax = 32

/**
 * The directory on etcd. A record's version is its key's: it grows by one with each change (records are never deleted).
 * Exclusion is the compare in a transaction; etcd's leases only advertise (R16).
 */
export class EtcdDirectory implements Directory {
  readonly #endpoints: Endpoints
  readonly #keys: Keys
  readonly #open = new Set<Closable>()
  readonly #ending = new Set<Promise<void>>()

  /** Connects when first needed. @throws DirectoryRefusal for settings that make no sense */
  constructor(settings: EtcdSettings) {
    this.#endpoints = new Endpoints(settings)
    this.#keys = new Keys(settings.prefix ?? 'banyan/')
  }

  async readRecord(volume: string): Promise<Versioned | undefined> {
    const key = this.#keys.record(volume)
    const { kvs } = await this.#endpoints.ask((etcd, options) => etcd.kv.range({ key }, options))
    return kvs[0] && recordOf(kvs[0])
  }

  async readRecords(): Promise<ReadonlyMap<string, Versioned>> {
    const { kvs } = await this.#endpoints.ask((etcd, options) => etcd.kv.range(this.#keys.records(), options))
    return recordsOf(this.#keys, kvs)
  }

  watchRecords(onChange: (records: ReadonlyMap<string, Versioned>) => void): Closable {
    return this.#kept(watchRecords(this.#endpoints, this.#keys, onChange))
  }

  async createRecord(volume: string, record: VolumeRecord): Promise<Versioned> {
    return await this.#change(volume, 0, record)
  }

  async swapRecord(volume: string, expected: number, next: VolumeRecord): Promise<Versioned> {
    if (!Number.isSafeInteger(expected) || expected < 1) throw new DirectoryRefusal(`no version: ${expected}`)
    return await this.#change(volume, expected, next)
  }

  watch(volume: string, watcher: DirectoryWatcher): Closable {
    return this.#kept(new VolumeWatch(this.#endpoints, this.#keys, volume, watcher))
  }

  advertise(volume: string, advert: Advert): Advertisement {
    const key = this.#keys.advert(volume, advert.node, advert.incarnation)
    const leased = new LeasedAdvert(this.#endpoints, key, advertFromWire(advert))
    const kept = this.#kept({
      close: () => {
        const ending = leased.close().finally(() => this.#ending.delete(ending))
        this.#ending.add(ending)
      },
    })
    return { update: (patch) => leased.update(patch), close: () => kept.close() }
  }

  async attestDeath(node: NodeId, incarnation: Incarnation): Promise<void> {
    const key = this.#keys.death(nodeFromWire(node), incarnationFromWire(incarnation))
    const { ID: lease } = await this.#endpoints.ask((etcd, options) =>
      etcd.leaseClient.leaseGrant({ TTL: deathS }, options),
    )
    const known: IRequestOp = { request_range: { ...this.#keys.deathsOf(node), keys_only: true } }
    const { responses } = await this.#endpoints.ask((etcd, options) =>
      etcd.kv.txn(
        {
          compare: [{ key, target: 'Version', result: 'Equal', version: 0 }],
          success: [{ request_put: { key, lease } }, known],
          failure: [known],
        },
        options,
      ),
    )
    const deaths = [...(responses.at(-1)?.response_range.kvs ?? [])].sort(byCreation)
    const tooOld = deaths.slice(0, -deathsPerNodeMax).map(({ key: old }) => ({ request_delete_range: { key: old } }))
    if (tooOld.length > 0) await this.#endpoints.ask((etcd, options) => etcd.kv.txn({ success: tooOld }, options))
  }

  /** Ends every watch and advert of this client; waits, not for long, until etcd knows of the latter. */
  async close(): Promise<void> {
    for (const open of this.#open) open.close()
    await Promise.all(this.#ending)
    this.#endpoints.close()
  }

  /**
   * A transaction whose answer is lost is sent again, perhaps to another member. If it was carried out before, the version
   * is no longer the one expected, and the answer is the record that it made.
   */
  async #change(volume: string, expected: number, next: VolumeRecord): Promise<Versioned> {
    const key = this.#keys.record(volume)
    const value = Buffer.from(wire.VolumeRecord.encode(recordToWire(recordFromWire(recordToWire(next)))).finish())
    const compare: ICompare = { key, target: 'Version', result: 'Equal', version: expected }
    const read: IRequestOp = { request_range: { key } }
    const { responses } = await this.#endpoints.ask((etcd, options) =>
      etcd.kv.txn({ compare: [compare], success: [{ request_put: { key, value } }, read], failure: [read] }, options),
    )
    const present = responses.at(-1)?.response_range.kvs[0]
    if (present === undefined) throw new DirectoryRefusal(`volume ${volume} has no record to change`)
    return recordOf(present)
  }

  #kept(open: Closable): Closable {
    let closed = false
    const kept = {
      close: (): void => {
        if (closed) return
        closed = true
        this.#open.delete(kept)
        open.close()
      },
    }
    this.#open.add(kept)
    return kept
  }
}

/** Oldest first. */
function byCreation(a: IKeyValue, b: IKeyValue): number {
  return Number(a.create_revision) - Number(b.create_revision)
}
