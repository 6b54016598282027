import type { ServerDuplexStream } from '@grpc/grpc-js'
import type { Dial } from '../../proto/channel.ts'
import type {
  PeerFrame,
  PeerHello,
  PeerMessage,
  PeerServiceServer,
  SubscriberFrame,
} from '../../proto/generated/peer-service.ts'
import { type Incarnation, type NodeId, nodeId } from '../../proto/ids.ts'
import { controlKinds, type Message } from '../../replication/message.ts'
import type { Log, Network } from '../../replication/ports.ts'
import { type Peer, type PeerOf, speaksFor } from './identity.ts'
import { messageFrom, messageTo } from './message-codec.ts'
import { Outbox, type Packed } from './outbox.ts'
import { PeerLink } from './peer-link.ts'
import { BadFrame, Bodies, bufferOf } from './wire.ts'

export type FileServerMessage = Exclude<NonNullable<PeerMessage['kind']>, { $case: 'replica' }>

export interface PeerPorts {
  readonly dial: Dial
  readonly node: NodeId
  readonly incarnation: Incarnation
  readonly volume: string
  readonly log: Log
  readonly onMessage: (from: NodeId, message: Message) => void
  /** What file servers say to each other beside replication. */
  readonly onFileServer: (from: NodeId, message: FileServerMessage) => void
  /** A stream of bulk from or to that peer is new: what was said on the one before may be lost. */
  readonly onConnected: (node: NodeId) => void
}

/** Heartbeats and what must not wait behind bulk, and bulk (S19): two connections a peer and direction. */
const lanes = ['control', 'bulk'] as const
type Lane = (typeof lanes)[number]

interface Subscriber {
  readonly outbox: Outbox
  readonly stream: ServerDuplexStream<SubscriberFrame, PeerFrame>
}

/** Messages between the members of one volume. Who has not subscribed gets nothing: replication expects loss. */
export class PeerNetwork implements Network {
  readonly #ports: PeerPorts
  readonly #subscribers: Readonly<Record<Lane, Map<NodeId, Subscriber>>> = { control: new Map(), bulk: new Map() }
  readonly #peers = new Map<
    NodeId,
    { incarnation: Incarnation; address: string; readonly links: readonly PeerLink[] }
  >()

  constructor(ports: PeerPorts) {
    this.#ports = ports
  }

  /** For this server's gRPC. */
  service(peerOf: PeerOf): PeerServiceServer {
    return { subscribe: (stream) => this.#onSubscribe(stream, peerOf(stream)) }
  }

  send(to: NodeId, message: Message): void {
    const lane = controlKinds.has(message.kind) ? 'control' : 'bulk'
    const subscriber = this.#subscribers[lane].get(to)
    if (subscriber === undefined) return
    const bodies: Uint8Array[] = []
    const value = messageTo(message, bodies)
    subscriber.outbox.push({ message: { kind: { $case: 'replica', value } }, bodies })
  }

  tell(to: NodeId, message: FileServerMessage): void {
    this.#subscribers.bulk.get(to)?.outbox.push(packed(message))
  }

  /** Where a peer is, and which process that is. Told again and again; a new process is dialled at once. */
  learn(node: NodeId, address: string, incarnation: Incarnation): void {
    if (node === this.#ports.node) return
    const known = this.#peers.get(node)
    if (known === undefined) {
      const links = lanes.map((lane) => new PeerLink(address, this.#linkPorts(node, lane)))
      this.#peers.set(node, { incarnation, address, links })
    } else if (known.incarnation !== incarnation || known.address !== address) {
      known.incarnation = incarnation
      known.address = address
      for (const link of known.links) link.redial(address)
    }
  }

  addressOf(node: NodeId): string | undefined {
    return this.#peers.get(node)?.address
  }

  close(): void {
    for (const { links } of this.#peers.values()) for (const link of links) link.close()
    for (const lane of lanes)
      for (const [node, subscriber] of this.#subscribers[lane]) this.#drop(lane, node, subscriber)
  }

  #linkPorts(node: NodeId, lane: Lane): ConstructorParameters<typeof PeerLink>[1] {
    const { dial, log, onConnected } = this.#ports
    return {
      dial,
      hello: this.#hello(lane),
      node,
      onConnected: () => {
        log('peer.connected', { node, lane })
        if (lane === 'bulk') onConnected(node)
      },
      onFrame: ({ messages, bodies }) => {
        const from = new Bodies(bodies)
        for (const message of messages) this.#deliver(node, message, from)
      },
      log,
    }
  }

  #deliver(from: NodeId, { kind }: PeerMessage, bodies: Bodies): void {
    if (kind?.$case === 'replica') this.#ports.onMessage(from, messageFrom(kind.value, bodies))
    else if (kind !== undefined) this.#ports.onFileServer(from, unpacked(kind, bodies))
  }

  #onSubscribe(stream: ServerDuplexStream<SubscriberFrame, PeerFrame>, peer: Peer): void {
    let known: { readonly lane: Lane; readonly node: NodeId; readonly subscriber: Subscriber } | undefined
    const gone = (): void => {
      if (known !== undefined) this.#drop(known.lane, known.node, known.subscriber)
    }
    // A cancelled stream without a listener for its error would end the process.
    stream.on('error', gone).on('cancelled', gone).on('close', gone)
    stream.on('end', () => {
      gone()
      stream.end()
    })
    stream.on('data', (frame: SubscriberFrame) => {
      if (known !== undefined) return // a sign of life
      known = this.#admit(stream, peer, frame.hello)
      if (known === undefined) stream.end()
    })
  }

  #admit(
    stream: ServerDuplexStream<SubscriberFrame, PeerFrame>,
    peer: Peer,
    hello: PeerHello | undefined,
  ): { readonly lane: Lane; readonly node: NodeId; readonly subscriber: Subscriber } | undefined {
    const node = hello === undefined ? undefined : parsedNode(hello.node)
    const known = hello !== undefined && hello.volume === this.#ports.volume
    if (!known || node === undefined || !speaksFor(peer, node)) {
      this.#ports.log('peer.refused', { node: hello?.node, volume: hello?.volume, peer })
      return undefined
    }
    const lane: Lane = hello.control ? 'control' : 'bulk'
    const outbox = new Outbox({
      write: (all, written) => void stream.write(frameOf(all), written),
      overflow: () => {
        this.#ports.log('peer.overflow', { node, lane })
        this.#drop(lane, node, subscriber)
      },
    })
    const subscriber: Subscriber = { outbox, stream }
    const former = this.#subscribers[lane].get(node)
    if (former !== undefined) this.#drop(lane, node, former)
    this.#subscribers[lane].set(node, subscriber)
    stream.write({ hello: this.#hello(lane), messages: [], bodies: [] })
    if (lane === 'bulk') this.#ports.onConnected(node)
    return { lane, node, subscriber }
  }

  #drop(lane: Lane, node: NodeId, subscriber: Subscriber): void {
    if (this.#subscribers[lane].get(node) === subscriber) this.#subscribers[lane].delete(node)
    subscriber.outbox.close()
    subscriber.stream.end()
  }

  #hello(lane: Lane): PeerHello {
    const { node, incarnation, volume } = this.#ports
    return { node, incarnation, volume, control: lane === 'control' }
  }
}

function parsedNode(name: string): NodeId | undefined {
  try {
    return nodeId(name)
  } catch {
    return undefined
  }
}

const frameOf = (all: readonly Packed[]): PeerFrame => ({
  hello: undefined,
  messages: all.map(({ message }) => message),
  bodies: all.flatMap(({ bodies }) => bodies.map(bufferOf)),
})

/** The data of a forwarded write goes outside of the message. */
function packed(message: FileServerMessage): Packed {
  const forward = message.$case === 'forward' ? message.value : undefined
  const call = forward?.kind?.$case === 'operation' ? forward.kind.value.kind : undefined
  if (forward === undefined || call?.$case !== 'write') return { message: { kind: message }, bodies: [] }
  const operation = { kind: { $case: 'write', value: { ...call.value, data: noBytes } } } as const
  const kind = { $case: 'operation', value: operation } as const
  const value = { ...forward, dataOutside: true, kind }
  return { message: { kind: { $case: 'forward', value } }, bodies: [call.value.data] }
}

/** @throws BadFrame */
function unpacked(message: FileServerMessage, bodies: Bodies): FileServerMessage {
  if (message.$case !== 'forward' || !message.value.dataOutside) return message
  const forward = message.value
  const call = forward.kind?.$case === 'operation' ? forward.kind.value.kind : undefined
  if (call?.$case !== 'write') throw new BadFrame('data outside of what is no write')
  const operation = { kind: { $case: 'write', value: { ...call.value, data: bufferOf(bodies.next()) } } } as const
  return { $case: 'forward', value: { ...forward, kind: { $case: 'operation', value: operation } } }
}

const noBytes = Buffer.alloc(0)
