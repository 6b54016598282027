import type { ICompare, IRequestOp } from 'etcd3'
import type { Advert } from '../../../proto/advert.ts'
import * as wire from '../../../proto/generated/directory-service.ts'
import type { Advertisement } from '../directory.ts'
import { advertToWire } from '../wire.ts'
import type { Endpoints } from './endpoints.ts'

/** etcd gives no shorter leases with its standard election timeout (1 s), and looks at them every half second. */
const leaseS = 2
const keepAliveMs = 500
/** A keep-alive without an answer for so long: another member is asked for another lease. */
const silentMs = 1500
const againMs = 200
/** A change of load alone waits so long: each is a write on a majority of etcd's disks. */
const loadMs = 2000

/** The revision of a key that is not there. */
const absent = '0'

/** One advert, kept in etcd under a lease until closed; put there again, under another lease, whenever it was lost. */
export class LeasedAdvert {
  readonly #endpoints: Endpoints
  readonly #key: Buffer
  #advert: Advert
  #closed = false
  #lease: string | undefined
  /** Of etcd, at which the key was last changed, as far as is known. */
  #revision = absent
  #writing = false
  #stale = false
  #endStream = (): void => {}
  #again: NodeJS.Timeout | undefined
  #later: NodeJS.Timeout | undefined
  #busy: Promise<void>

  constructor(endpoints: Endpoints, key: Buffer, advert: Advert) {
    this.#endpoints = endpoints
    this.#key = key
    this.#advert = advert
    this.#busy = this.#begin()
  }

  update(patch: Parameters<Advertisement['update']>[0]): void {
    const before = this.#advert
    this.#advert = { ...before, ...patch }
    if (this.#closed) return
    if (this.#advert.role !== before.role || this.#advert.address !== before.address) this.#changed()
    else if (this.#advert.load !== before.load) this.#later ??= setTimeout(() => this.#changed(), loadMs)
  }

  /** Resolves when etcd knows, or after a while in any case: then the lease runs out by itself. */
  async close(): Promise<void> {
    this.#closed = true
    clearTimeout(this.#again)
    clearTimeout(this.#later)
    this.#end()
    await this.#busy
    const ID = this.#lease
    if (ID === undefined) return
    await this.#endpoints.ask((etcd, options) => etcd.leaseClient.leaseRevoke({ ID }, options)).catch(() => {}) // it runs out
  }

  async #begin(): Promise<void> {
    try {
      const { ID } = await this.#endpoints.ask((etcd, options) => etcd.leaseClient.leaseGrant({ TTL: leaseS }, options))
      this.#lease = ID
      this.#stale = true
      await this.#write(ID)
      if (!this.#closed) await this.#keepAlive(ID)
    } catch {
      this.#lost()
    }
  }

  /** The lease is over, or nobody knows: a new one costs nothing, and the old one ends by itself. */
  #lost(): void {
    if (this.#closed) return
    this.#end()
    this.#lease = undefined
    clearTimeout(this.#again)
    this.#again = setTimeout(() => {
      this.#busy = this.#begin()
    }, againMs)
  }

  #end(): void {
    const end = this.#endStream
    this.#endStream = () => {}
    end()
  }

  async #keepAlive(ID: string): Promise<void> {
    const { client, failed } = this.#endpoints.forStream()
    const stream = await client.leaseClient.leaseKeepAlive()
    let heardAt = performance.now()
    const timer = setInterval(() => {
      if (performance.now() - heardAt > silentMs) lost()
      else stream.write({ ID })
    }, keepAliveMs)
    const stop = (): void => {
      clearInterval(timer)
      stream.cancel()
    }
    const lost = (): void => {
      if (this.#endStream !== stop) return
      failed()
      this.#lost()
    }
    this.#endStream = stop
    stream.on('error', lost)
    stream.on('end', lost)
    stream.on('data', ({ TTL }) => {
      if (TTL === '0') lost() // it has run out: this process was stopped, or etcd was away
      heardAt = performance.now()
    })
    if (this.#closed) this.#end()
  }

  #changed(): void {
    clearTimeout(this.#later)
    this.#later = undefined
    this.#stale = true
    const lease = this.#lease
    if (this.#writing || lease === undefined) return
    this.#busy = this.#write(lease).catch(() => {
      if (this.#lease === lease) this.#lost()
    })
  }

  /** One put at a time: the last to be written is the newest. */
  async #write(lease: string): Promise<void> {
    this.#writing = true
    try {
      while (this.#stale && !this.#closed && this.#lease === lease) {
        this.#stale = false
        if (!(await this.#put(lease))) this.#stale = true
      }
    } finally {
      this.#writing = false
    }
  }

  /**
   * Etcd may carry a put out late, or once more, when the advert stands under another lease already: it would go with the
   * lease of before, though this process keeps it alive. So each is one of what it finds there.
   *
   * @returns whether what is to be there now is
   */
  async #put(lease: string): Promise<boolean> {
    const key = this.#key
    const value = Buffer.from(wire.Advert.encode(advertToWire(this.#advert)).finish())
    const compare: ICompare = { key, target: 'Mod', result: 'Equal', mod_revision: this.#revision }
    const read: IRequestOp = { request_range: { key } }
    const success = [{ request_put: { key, value, lease } }, read]
    const { responses } = await this.#endpoints.ask((etcd, options) =>
      etcd.kv.txn({ compare: [compare], success, failure: [read] }, options),
    )
    const present = responses.at(-1)?.response_range.kvs[0]
    this.#revision = present?.mod_revision ?? absent
    return present?.lease === lease && present.value.equals(value)
  }
}
