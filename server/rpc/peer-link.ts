import { Client, type ClientDuplexStream } from '@grpc/grpc-js'
import { type Dial, isUnixSocket } from '../../proto/channel.ts'
import {
  type PeerFrame,
  type PeerHello,
  PeerServiceService,
  type SubscriberFrame,
} from '../../proto/generated/peer-service.ts'
import { volumeMetadata } from '../../proto/volume-metadata.ts'
import { peerFrameFrom } from './peer-frame.ts'

/** Between two attempts to dial: short at first, so that a peer that only restarts is back at once. */
const retryMs = { first: 20, soon: 100, later: 500 } as const
/** Attempts at 100 ms before the pace is 500 ms; an advert of a new process tries at once in any case. */
const soonAttempts = 50
/** So much may be on its way to us: the default of 64 KiB halves the rate of bulk. Only the dialling side can say. */
const windowBytes = 16 << 20
/** More than any frame that a peer makes. */
const frameBytesMax = 128 << 20

/** An attempt that has not come to a greeting in that time is given up. */
const dialMs = 3000

export interface LinkPorts {
  readonly dial: Dial
  readonly hello: PeerHello
  /** Who must answer there. */
  readonly node: string
  readonly onConnected: () => void
  /** What it throws ends the connection, not the process. */
  readonly onFrame: (frame: PeerFrame) => void
  readonly log: (event: string, fields: Readonly<Record<string, unknown>>) => void
}

/** Listens to one peer on one connection of its own, for ever: dials again whatever happens. */
export class PeerLink {
  readonly #ports: LinkPorts
  #address: string
  #client: Client | undefined
  #stream: ClientDuplexStream<SubscriberFrame, PeerFrame> | undefined
  #timer: NodeJS.Timeout | undefined
  #attempts = 0
  #closed = false

  constructor(address: string, ports: LinkPorts) {
    this.#address = address
    this.#ports = ports
    this.#dial()
  }

  /** A new process is there: the old connection, if there still is one, leads to a dead one. */
  redial(address: string): void {
    this.#address = address
    this.#attempts = 0
    this.#drop()
    this.#dial()
  }

  close(): void {
    this.#closed = true
    this.#drop()
  }

  #dial(): void {
    if (this.#closed) return
    const { target, credentials, options } = this.#ports.dial(this.#address)
    const client = new Client(target, credentials, {
      ...options,
      'grpc-node.flow_control_window': windowBytes,
      'grpc.max_receive_message_length': frameBytesMax,
      'grpc.max_send_message_length': -1,
      // A stream is never retried by the channel, which would keep what was sent and search it at every step.
      'grpc.enable_retries': 0,
    })
    const { path, requestSerialize } = PeerServiceService.subscribe
    const metadata = volumeMetadata(this.#ports.hello.volume)
    const stream = client.makeBidiStreamRequest(path, requestSerialize, peerFrameFrom, metadata)
    this.#client = client
    this.#stream = stream
    const ended = (): void => {
      if (this.#stream === stream) this.#again()
    }
    stream.on('error', ended).on('end', ended)
    let greeted = false
    // What is lost on its way to another machine is sent again by the kernel after ever longer pauses: dialled anew sooner.
    if (!isUnixSocket(this.#address)) this.#timer = setTimeout(ended, dialMs)
    stream.on('data', (frame: PeerFrame) => {
      if (this.#stream !== stream) return
      if (!greeted) {
        if (frame.hello?.node !== this.#ports.node) return this.#refuse(frame.hello)
        greeted = true
        clearTimeout(this.#timer)
        this.#attempts = 0
        this.#ports.onConnected()
      }
      this.#take(frame)
    })
    stream.write({ hello: this.#ports.hello })
  }

  #take(frame: PeerFrame): void {
    if (frame.messages.length === 0) return
    try {
      this.#ports.onFrame(frame)
    } catch (error) {
      this.#ports.log('peer.badFrame', { node: this.#ports.node, error: String(error) })
      this.#again()
    }
  }

  #refuse(hello: PeerHello | undefined): void {
    this.#ports.log('peer.stranger', { expected: this.#ports.node, found: hello?.node, address: this.#address })
    this.#again()
  }

  #again(): void {
    this.#drop()
    if (this.#closed) return
    const { first, soon, later } = retryMs
    const pause = this.#attempts === 0 ? first : this.#attempts < soonAttempts ? soon : later
    this.#attempts++
    this.#timer = setTimeout(() => this.#dial(), pause)
  }

  #drop(): void {
    clearTimeout(this.#timer)
    const stream = this.#stream
    this.#stream = undefined
    stream?.cancel()
    this.#client?.close()
    this.#client = undefined
  }
}
