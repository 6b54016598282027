import { InterceptingCall, type Interceptor } from '@grpc/grpc-js'
import { noop } from 'cockatiel'
import { Etcd3, EtcdLeaseInvalidError, GRPCInvalidArgumentError, type IOptions } from 'etcd3'
import { DirectoryRefusal, DirectoryUnavailable } from '../directory.ts'

export interface EtcdEndpoint {
  /** `http://HOST:PORT` or `https://HOST:PORT` */
  readonly url: string
  /** The name in its certificate, where that is not the host of the URL. */
  readonly serverName?: string
}

export interface EtcdSettings {
  /** The members of etcd, as clients reach them. */
  readonly endpoints: readonly EtcdEndpoint[]
  /** For https: PEM. Without `certificate` and `key` etcd is not told who asks. */
  readonly tls?: {
    readonly authority: Buffer
    readonly certificate?: Buffer
    readonly key?: Buffer
  }
  /** What all keys begin with: one etcd can serve several clusters. */
  readonly prefix?: string
}

/** For one answer. Who asks asks again, so a directory that is away is noticed by nobody who does not need it (R17). */
const answerMs = 2000
/** For one member of etcd: a dead one must leave time for another. */
const memberMs = 900
/** After each member has failed once. */
const pauseMs = 100
/** Between two looks at a member on which there are watches, and for its answer. */
const lookMs = 3000
const lookedMs = 2000

/** A stream of changes, which is silent as long as there are none. */
export interface Watching {
  /** One of the keys that it is about. */
  readonly key: Buffer
  /** Its member does not keep up with the others. */
  stale(): void
}

/**
 * The members of one etcd. Each has a client of its own, and all calls go to the one that answered last: the `etcd3`
 * package's own choice is made anew for each call, so a third of all would wait for a member whose host is gone, and
 * its circuit breaker keeps a member that is back out for five seconds.
 */
export class Endpoints {
  readonly #clients: readonly Etcd3[]
  /** Each with its member. */
  readonly #watching = new Map<Watching, number>()
  readonly #looking: NodeJS.Timeout
  #preferred: number
  #closed = false

  /** @throws DirectoryRefusal */
  constructor({ endpoints, tls }: EtcdSettings) {
    if (endpoints.length === 0) throw new DirectoryRefusal('no member of etcd is named')
    if (tls === undefined && endpoints.some(({ url }) => url.startsWith('https:')))
      throw new DirectoryRefusal('etcd is reached by https, and there are no certificates for it')
    this.#clients = endpoints.map((endpoint) => new Etcd3(clientOptions(endpoint, tls)))
    this.#preferred = Math.floor(Math.random() * endpoints.length)
    this.#looking = setInterval(() => this.#look(), lookMs).unref()
  }

  /**
   * Asks one member after the other until there is an answer. What was asked may be carried out several times, also after
   * the answer of another member: only for what does no harm then.
   *
   * @throws DirectoryUnavailable after 2 s; DirectoryRefusal when etcd understood and will not; EtcdLeaseInvalidError
   */
  async ask<T>(question: (client: Etcd3, options: { readonly deadline: number }) => Promise<T>): Promise<T> {
    const end = performance.now() + answerMs
    let last: unknown
    for (let tried = 1; !this.#closed; tried += 1) {
      const leftMs = end - performance.now()
      if (leftMs <= 0) break
      const at = this.#preferred
      try {
        return await question(this.#client(at), { deadline: Date.now() + Math.min(leftMs, memberMs) })
      } catch (error) {
        if (error instanceof EtcdLeaseInvalidError) throw error
        if (error instanceof GRPCInvalidArgumentError) throw new DirectoryRefusal(error.message, { cause: error })
        last = error
        this.#failed(at)
      }
      if (tried % this.#clients.length === 0) await new Promise((resolve) => setTimeout(resolve, pauseMs))
    }
    throw new DirectoryUnavailable(`etcd gives no answer: ${String(last)}`, { cause: last })
  }

  /** For a stream: whoever sees it end says `failed`, and gets another the next time. */
  forStream(): { readonly client: Etcd3; readonly failed: () => void } {
    const at = this.#preferred
    return { client: this.#client(at), failed: () => this.#failed(at) }
  }

  /** The same for a watch, until `ended`: its member is looked at, so that what has become stale is known to be. */
  forWatch(watching: Watching): { readonly client: Etcd3; readonly failed: () => void; readonly ended: () => void } {
    this.#watching.set(watching, this.#preferred)
    return { ...this.forStream(), ended: () => void this.#watching.delete(watching) }
  }

  close(): void {
    this.#closed = true
    clearInterval(this.#looking)
    for (const client of this.#clients) client.close()
  }

  #look(): void {
    for (const at of new Set(this.#watching.values())) void this.#lookAt(at)
  }

  /**
   * A member whose disk hangs answers pings and takes itself for a follower, but hears of no change. What it can't do is
   * answer a linearizable read, for which it must have all that is committed by then.
   */
  async #lookAt(at: number): Promise<void> {
    const [one, ...others] = [...this.#watching].filter(([, member]) => member === at).map(([watching]) => watching)
    if (one === undefined) return
    try {
      await this.#client(at).kv.range({ key: one.key, count_only: true }, { deadline: Date.now() + lookedMs })
    } catch {
      if (this.#closed) return
      this.#failed(at)
      for (const watching of [one, ...others]) if (this.#watching.get(watching) === at) watching.stale()
    }
  }

  /** Of many calls that fail at once, the first chooses the next member. */
  #failed(at: number): void {
    if (this.#preferred === at) this.#preferred = (at + 1) % this.#clients.length
  }

  #client(at: number): Etcd3 {
    const client = this.#clients[at]
    if (client === undefined) throw new RangeError(`there is no member ${at}`)
    return client
  }
}

/** A member that has lost its leader ends such a stream, instead of being silent on it. */
export const withLeader: { readonly interceptors: Interceptor[] } = {
  interceptors: [
    (options, next) =>
      new InterceptingCall(next(options), {
        start(metadata, listener, start) {
          metadata.set('hasleader', 'true')
          start(metadata, listener)
        },
      }),
  ],
}

function clientOptions({ url, serverName }: EtcdEndpoint, tls: EtcdSettings['tls']): IOptions {
  return {
    hosts: url,
    ...(tls !== undefined && {
      credentials: {
        rootCertificate: tls.authority,
        ...(tls.key && { privateKey: tls.key }),
        ...(tls.certificate && { certChain: tls.certificate }),
      },
    }),
    faultHandling: { global: noop, host: () => noop },
    grpcOptions: {
      // A member that is stopped, or whose host is gone, is noticed on streams too. etcd allows a ping every 5 s.
      'grpc.keepalive_time_ms': 6000,
      'grpc.keepalive_timeout_ms': 2000,
      'grpc.initial_reconnect_backoff_ms': 100,
      'grpc.max_reconnect_backoff_ms': 500,
      'grpc.min_reconnect_backoff_ms': 100,
      'grpc.service_config_disable_resolution': 1,
      // So that a client made anew connects anew: a connection that was begun while the network was cut waits for long.
      'grpc.use_local_subchannel_pool': 1,
      ...(serverName !== undefined && { 'grpc.ssl_target_name_override': serverName }),
    },
  }
}
