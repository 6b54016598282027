import type { IKeyValue, IWatchResponse } from 'etcd3'
import type { Closable } from '../directory.ts'
import { type Endpoints, withLeader } from './endpoints.ts'
import type { Range } from './keys.ts'

/** Between an end of the stream and the next attempt, doubled up to the limit while nothing comes of it. */
const againMs = 100
const againMsMax = 1000

/** A key, or a range of them. */
export type Followed = Range | { readonly key: Buffer }

export interface Follower {
  /** Everything as it is at one revision: for each range its keys. Whatever was told before counts no more. */
  everything(ranges: readonly (readonly IKeyValue[])[]): void
  /** What has changed since, in order. */
  changed(events: IWatchResponse['events']): void
}

/**
 * Ranges of keys: first everything as it is at one revision of etcd, read in one transaction, then all changes from that
 * revision on. Whatever ends the stream (a connection, a member without a leader or with a disk that hangs, a compaction that
 * has overtaken us), it begins with reading again.
 */
export class Follow implements Closable {
  readonly #endpoints: Endpoints
  readonly #ranges: readonly [Followed, ...Followed[]]
  readonly #follower: Follower
  #closed = false
  #timer: NodeJS.Timeout | undefined
  #endStream = (): void => {}
  #waitMs = againMs

  constructor(endpoints: Endpoints, ranges: readonly [Followed, ...Followed[]], follower: Follower) {
    this.#endpoints = endpoints
    this.#ranges = ranges
    this.#follower = follower
    void this.#begin()
  }

  close(): void {
    this.#closed = true
    clearTimeout(this.#timer)
    this.#endStream()
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
    const success = this.#ranges.map((range) => ({ request_range: range }))
    const { header, responses } = await this.#endpoints.ask((etcd, options) => etcd.kv.txn({ success }, options))
    if (this.#closed) return 0
    this.#follower.everything(responses.map(({ response_range }) => response_range.kvs))
    return Number(header.revision)
  }

  async #follow(revision: number): Promise<void> {
    const { client, ended, failed } = this.#endpoints.forWatch({ key: this.#ranges[0].key, stale: () => end() })
    let over = false
    let cancel = (): void => {}
    const stop = (): void => {
      over = true
      ended()
      cancel()
    }
    const end = (): void => {
      if (over) return
      stop()
      failed()
      this.#again()
    }
    this.#endStream = stop
    const stream = await client.watchClient.watch(withLeader).catch((error: unknown) => {
      ended()
      throw error
    })
    cancel = () => stream.cancel()
    if (over) return cancel()
    stream.on('error', end)
    stream.on('end', end)
    stream.on('data', (response) => {
      if (over) return
      if (response.canceled) return end() // compacted: what we were to hear first is no longer there
      this.#waitMs = againMs
      this.#follower.changed(response.events)
    })
    for (const range of this.#ranges) stream.write({ create_request: { ...range, start_revision: revision + 1 } })
  }
}
