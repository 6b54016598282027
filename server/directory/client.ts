import { connectivityState, Metadata, type ServiceError, status } from '@grpc/grpc-js'
import type { Advert } from '../../proto/advert.ts'
import { type Dial, isUnixSocket, overUnixSockets } from '../../proto/channel.ts'
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
import {
  advertFromWire,
  advertToWire,
  incarnationFromWire,
  nodeFromWire,
  recordToWire,
  versionedFromWire,
} from './wire.ts'

/** For one answer. Who asks asks again, so a directory that is away is noticed by nobody who does not need it (R17). */
const answerMs = 2000
/** Between an end of a stream and the next attempt; the channel itself waits as long between its dials. */
const reconnectMs = 100
/** Between two frames of an advert: a quarter of its lease. */
const keepAliveMs = 500

/** A connection to another machine that has not come up in that time is tried anew: see `#look`. */
const connectMs = 3000
const lookMs = 500

/** The directory of another process, over gRPC. Connects when first needed, and anew for ever. */
export class DirectoryClient implements Directory {
  readonly #address: string
  readonly #dial: Dial
  #client: wire.DirectoryServiceClient
  readonly #open = new Set<Closable>()
  readonly #timer: NodeJS.Timeout | undefined
  #notReadyLooks = 0

  constructor(address: string, dial: Dial = overUnixSockets) {
    this.#address = address
    this.#dial = dial
    this.#client = this.#connected()
    if (!isUnixSocket(address)) this.#timer = setInterval(() => this.#look(), lookMs).unref()
  }

  async readRecord(volume: string): Promise<Versioned | undefined> {
    const { record } = await this.#ask<wire.RecordReply>((...how) => this.#client.readRecord({ volume }, ...how))
    return record && versionedFromWire(record)
  }

  async readRecords(): Promise<ReadonlyMap<string, Versioned>> {
    const { records } = await this.#ask<wire.RecordsReply>((...how) => this.#client.readRecords({}, ...how))
    return new Map(Object.entries(records).map(([name, record]) => [name, versionedFromWire(record)]))
  }

  async createRecord(volume: string, record: VolumeRecord): Promise<Versioned> {
    const request = { volume, record: recordToWire(record) }
    return after(await this.#ask<wire.RecordReply>((...how) => this.#client.createRecord(request, ...how)))
  }

  async swapRecord(volume: string, expected: number, next: VolumeRecord): Promise<Versioned> {
    const request = { volume, expected: BigInt(expected), next: recordToWire(next) }
    return after(await this.#ask<wire.RecordReply>((...how) => this.#client.swapRecord(request, ...how)))
  }

  async attestDeath(node: NodeId, incarnation: Incarnation): Promise<void> {
    await this.#ask<wire.AttestDeathReply>((...how) => this.#client.attestDeath({ node, incarnation }, ...how))
  }

  watch(volume: string, watcher: DirectoryWatcher): Closable {
    return this.#keep((ended) => {
      const stream = this.#client.watch({ volume }, waiting())
      stream.on('data', (event: wire.WatchEvent) => {
        try {
          tell(watcher, event)
        } catch (error) {
          if (!(error instanceof DirectoryRefusal)) throw error
          stream.cancel() // not this protocol: begin anew
        }
      })
      stream.on('error', ended).on('end', ended)
      return { close: () => stream.cancel() }
    })
  }

  watchRecords(onChange: (records: ReadonlyMap<string, Versioned>) => void): Closable {
    const known = new Map<string, Versioned>()
    return this.#keep((ended) => {
      const stream = this.#client.watchRecords({}, waiting())
      stream.on('data', ({ records }: wire.RecordsReply) => {
        try {
          for (const [name, record] of Object.entries(records)) known.set(name, versionedFromWire(record))
        } catch (error) {
          if (!(error instanceof DirectoryRefusal)) throw error
          return stream.cancel() // not this protocol: begin anew
        }
        onChange(new Map(known))
      })
      stream.on('error', ended).on('end', ended)
      return { close: () => stream.cancel() }
    })
  }

  advertise(volume: string, advert: Advert): Advertisement {
    let present = advert
    let frame = (): void => {}
    const kept = this.#keep((ended) => {
      const stream = this.#client.advertise(waiting(), ended)
      const send = (): void => void stream.write({ volume, advert: advertToWire(present) })
      stream.on('error', ended)
      const timer = setInterval(send, keepAliveMs)
      frame = send
      send()
      return {
        close() {
          clearInterval(timer)
          frame = () => {}
          stream.end()
          stream.cancel()
        },
      }
    })
    return {
      update(patch) {
        const before = present
        present = { ...present, ...patch }
        if (present.role !== before.role || present.address !== before.address) frame()
      },
      close: () => kept.close(),
    }
  }

  /** Ends every watch and advert of this client. */
  close(): void {
    clearInterval(this.#timer)
    for (const open of this.#open) open.close()
    this.#client.close()
  }

  #connected(): wire.DirectoryServiceClient {
    const { target, credentials, options } = this.#dial(this.#address)
    return new wire.DirectoryServiceClient(target, credentials, {
      ...options,
      'grpc.initial_reconnect_backoff_ms': reconnectMs,
      'grpc.max_reconnect_backoff_ms': reconnectMs,
      'grpc.min_reconnect_backoff_ms': reconnectMs,
    })
  }

  /**
   * While nothing gets through, the kernel tries to connect after ever longer pauses, and gRPC waits for it: the network
   * would be back for half a minute before anybody noticed.
   */
  #look(): void {
    const state = this.#client.getChannel().getConnectivityState(false)
    const waits = state !== connectivityState.READY && state !== connectivityState.IDLE
    this.#notReadyLooks = waits ? this.#notReadyLooks + 1 : 0
    if (this.#notReadyLooks * lookMs < connectMs) return
    this.#notReadyLooks = 0
    const former = this.#client
    this.#client = this.#connected()
    former.close() // calls that wait on it fail, and are made again
  }

  /** Runs `start` again, a little later, each time what it began has ended, until closed. */
  #keep(start: (ended: () => void) => Closable): Closable {
    let running: Closable | undefined
    let timer: NodeJS.Timeout | undefined
    let closed = false
    const begin = (): void => {
      let over = false
      running = start(() => {
        if (over || closed) return
        over = true
        running?.close()
        timer = setTimeout(begin, reconnectMs)
      })
    }
    const kept = {
      close: (): void => {
        closed = true
        this.#open.delete(kept)
        clearTimeout(timer)
        running?.close()
      },
    }
    this.#open.add(kept)
    begin()
    return kept
  }

  #ask<T>(
    call: (
      metadata: Metadata,
      options: { deadline: number },
      answer: (error: ServiceError | null, reply: T) => void,
    ) => unknown,
  ): Promise<T> {
    return new Promise((resolve, reject) => {
      call(waiting(), { deadline: Date.now() + answerMs }, (error, reply) => {
        if (error === null) resolve(reply)
        else if (error.code === status.INVALID_ARGUMENT) reject(new DirectoryRefusal(error.details, { cause: error }))
        else reject(new DirectoryUnavailable(`the directory gives no answer: ${error.details}`, { cause: error }))
      })
    })
  }
}

/** A call made while there is no connection waits for one, instead of failing at once. */
function waiting(): Metadata {
  return new Metadata({ waitForReady: true })
}

function after({ record }: wire.RecordReply): Versioned {
  if (record === undefined) throw new DirectoryRefusal('the directory names no record after a change of it')
  return versionedFromWire(record)
}

/** @throws DirectoryRefusal */
function tell(watcher: DirectoryWatcher, { kind }: wire.WatchEvent): void {
  switch (kind?.$case) {
    case 'record':
      return watcher.record(versionedFromWire(kind.value))
    case 'death':
      return watcher.death(nodeFromWire(kind.value.node), incarnationFromWire(kind.value.incarnation))
    case 'adverts':
      return watcher.providers(kind.value.adverts.map(advertFromWire))
    case undefined:
      return // an event that a newer directory knows
  }
}
