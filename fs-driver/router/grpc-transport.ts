import { Client, type ClientDuplexStream, Metadata } from '@grpc/grpc-js'
import { type Dial, overUnixSockets } from '../../proto/channel.ts'
import { clientFrameBytes } from '../../proto/frames.ts'
import { type ClientFrame, FileServiceService, type ServerFrame } from '../../proto/generated/file-service.ts'
import { volumeMetadata } from '../../proto/volume-metadata.ts'
import type { ProviderStream, StreamEvents, Transport } from './transport.ts'

/** So much may be on its way to us: reads come in large replies, and the default of 64 KiB halves their rate. */
const windowBytes = 16 << 20
/** More than any frame a provider makes. */
const frameBytesMax = 16 << 20
/** How long a warm connection may take to come up; it is tried again when next needed. */
const warmMs = 2000

/** Providers over gRPC. One channel a provider, kept while it is in use or to be warm. */
export class GrpcTransport implements Transport {
  readonly #dial: Dial
  readonly #metadata: Metadata
  readonly #clients = new Map<string, Client>()
  readonly #inUse = new Map<string, number>()
  #warm: ReadonlySet<string> = new Set()

  /** `volume`: which one sessions are about; undefined: the first of each provider. */
  constructor(dial: Dial = overUnixSockets, volume?: string) {
    this.#dial = dial
    this.#metadata = volume === undefined ? new Metadata() : volumeMetadata(volume)
  }

  open(address: string, events: StreamEvents): ProviderStream {
    this.#inUse.set(address, (this.#inUse.get(address) ?? 0) + 1)
    const { path, responseDeserialize } = FileServiceService.session
    const client = this.#client(address)
    const stream = client.makeBidiStreamRequest(path, clientFrameBytes, responseDeserialize, this.#metadata)
    let open = true
    const finish = (reason: string | undefined): void => {
      if (!open) return
      open = false
      this.#release(address, reason !== undefined)
      if (reason !== undefined) events.onEnd(reason)
    }
    // A cancelled stream without a listener for its error would end the process.
    stream.on('error', (error: Error) => finish(error.message))
    stream.on('end', () => finish('the provider ended the stream'))
    stream.on('data', (frame: ServerFrame) => {
      if (open) events.onFrame(frame)
    })
    return {
      send: (frame) => {
        if (open) stream.write(frame)
      },
      close: () => {
        finish(undefined)
        cancel(stream)
      },
    }
  }

  keepWarm(addresses: readonly string[]): void {
    this.#warm = new Set(addresses)
    for (const address of addresses) this.#client(address).waitForReady(Date.now() + warmMs, () => {})
    for (const address of this.#clients.keys()) this.#closeUnused(address)
  }

  close(): void {
    for (const client of this.#clients.values()) client.close()
    this.#clients.clear()
  }

  #client(address: string): Client {
    const known = this.#clients.get(address)
    if (known !== undefined) return known
    const { target, credentials, options } = this.#dial(address)
    const client = new Client(target, credentials, {
      ...options,
      'grpc-node.flow_control_window': windowBytes,
      'grpc.max_receive_message_length': frameBytesMax,
      'grpc.max_send_message_length': -1,
      // A stream is never retried by the channel, which would keep what was sent and search it at every step.
      'grpc.enable_retries': 0,
      'grpc.initial_reconnect_backoff_ms': 50,
      'grpc.max_reconnect_backoff_ms': 100,
    })
    this.#clients.set(address, client)
    return client
  }

  /** A channel that failed waits before it connects again; a new one does not. */
  #release(address: string, failed: boolean): void {
    const left = (this.#inUse.get(address) ?? 1) - 1
    if (left > 0) this.#inUse.set(address, left)
    else this.#inUse.delete(address)
    if (failed && left === 0) this.#drop(address)
    else this.#closeUnused(address)
  }

  #closeUnused(address: string): void {
    if (!this.#inUse.has(address) && !this.#warm.has(address)) this.#drop(address)
  }

  #drop(address: string): void {
    this.#clients.get(address)?.close()
    this.#clients.delete(address)
  }
}

function cancel(stream: ClientDuplexStream<ClientFrame, ServerFrame>): void {
  stream.cancel()
}
