import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { Server, ServerCredentials } from '@grpc/grpc-js'
import t from 'tap'
import { overUnixSockets } from '../../../proto/channel.ts'
import { PeerServiceService } from '../../../proto/generated/peer-service.ts'
import type { Epoch, Incarnation, NodeId } from '../../../proto/ids.ts'
import { everybodyIsLocal } from '../../../server/rpc/identity.ts'
import { Outbox, outboxBytesMax, type Packed } from '../../../server/rpc/outbox.ts'
import { peerFrameBytes } from '../../../server/rpc/peer-frame.ts'
import { type FileServerMessage, PeerNetwork } from '../../../server/rpc/peer-network.ts'
import { waitFor } from '../../fixtures/wait.ts'

class Peer {
  readonly received: string[] = []
  readonly told: FileServerMessage[] = []
  readonly network: PeerNetwork
  readonly address: string
  readonly node: NodeId
  readonly incarnation: Incarnation
  #server: Server | undefined

  constructor(folder: string, name: string, start: number, volume = 'v') {
    this.node = name as NodeId
    this.incarnation = `${name}-${start}` as Incarnation
    this.address = `unix:${path.join(folder, `${name}.sock`)}`
    this.network = new PeerNetwork({
      dial: overUnixSockets,
      node: this.node,
      incarnation: this.incarnation,
      volume,
      log: () => {},
      onMessage: (from, message) => this.received.push(`${from} ${message.kind} ${message.incarnation}`),
      onFileServer: (_from, message) => this.told.push(message),
      onConnected: () => {},
    })
  }

  async listen(): Promise<void> {
    const server = new Server()
    const subscribe = { ...PeerServiceService.subscribe, responseSerialize: peerFrameBytes }
    server.addService({ subscribe }, this.network.service(everybodyIsLocal))
    await new Promise<void>((resolve, reject) => {
      const done = (error: Error | null): void => (error === null ? resolve() : reject(error))
      server.bindAsync(this.address, ServerCredentials.createInsecure(), done)
    })
    this.#server = server
  }

  knows(peer: Peer): void {
    this.network.learn(peer.node, peer.address, peer.incarnation)
  }

  say(to: Peer, kind: 'commitQuery' | 'refused'): void {
    const envelope = { epoch: 1 as Epoch, incarnation: this.incarnation }
    this.network.send(to.node, kind === 'refused' ? { ...envelope, kind } : { ...envelope, kind, ticket: 1 })
  }

  close(): void {
    this.network.close()
    this.#server?.forceShutdown()
  }
}

const heard = (peer: Peer, what: string, speak: () => void): Promise<true> =>
  waitFor(
    () => {
      speak()
      return peer.received.includes(what) ? true : undefined
    },
    { what: `${peer.node} hearing "${what}"`, limitMs: 5000, everyMs: 10 },
  )

void t.test('messages reach a peer on both connections, and its next process as well', async (t) => {
  const folder = mkdtempSync(path.join(tmpdir(), 'banyan-peers-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const [a, b] = [new Peer(folder, 'a', 1), new Peer(folder, 'b', 1)]
  t.teardown(() => a.close())
  await Promise.all([a.listen(), b.listen()])
  a.knows(b)
  b.knows(a)
  for (const kind of ['commitQuery', 'refused'] as const) {
    await heard(b, `a ${kind} a-1`, () => a.say(b, kind))
    await heard(a, `b ${kind} b-1`, () => b.say(a, kind))
  }
  b.close()
  a.say(b, 'refused') // nobody is there: it is dropped
  const next = new Peer(folder, 'b', 2)
  t.teardown(() => next.close())
  await next.listen()
  next.knows(a)
  a.knows(next)
  await heard(a, 'b commitQuery b-2', () => next.say(a, 'commitQuery'))
  await heard(next, 'a commitQuery a-1', () => a.say(next, 'commitQuery'))
})

void t.test('a peer that comes back without being advertised anew is found again', async (t) => {
  const folder = mkdtempSync(path.join(tmpdir(), 'banyan-peers-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const [a, b] = [new Peer(folder, 'a', 1), new Peer(folder, 'b', 1)]
  t.teardown(() => b.close())
  b.knows(a)
  await a.listen()
  await heard(b, 'a refused a-1', () => a.say(b, 'refused'))
  a.close()
  const again = new Peer(folder, 'a', 2)
  t.teardown(() => again.close())
  await again.listen()
  await heard(b, 'a refused a-2', () => again.say(b, 'refused'))
})

void t.test('a forwarded write keeps its data, large or small', async (t) => {
  const folder = mkdtempSync(path.join(tmpdir(), 'banyan-peers-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const [a, b] = [new Peer(folder, 'a', 1), new Peer(folder, 'b', 1)]
  t.teardown(() => [a, b].map((peer) => peer.close()))
  await Promise.all([a.listen(), b.listen()])
  b.knows(a)
  const forward = (size: number): FileServerMessage => filled(size, 5)
  await heard(b, 'a commitQuery a-1', () => a.say(b, 'commitQuery'))
  for (const size of [0, 10, 1 << 20]) a.network.tell(b.node, forward(size))
  await waitFor(() => (b.told.length === 3 ? true : undefined), { what: 'three forwards', limitMs: 5000 })
  const withFlag = (size: number): unknown => ({
    ...forward(size),
    value: { ...forward(size).value, dataOutside: true },
  })
  t.same(b.told, [0, 10, 1 << 20].map(withFlag))
})

void t.test('frames for several peers, made in one turn, do not mix', async (t) => {
  const folder = mkdtempSync(path.join(tmpdir(), 'banyan-peers-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const a = new Peer(folder, 'a', 1)
  const others = ['b', 'c', 'd'].map((name) => new Peer(folder, name, 1))
  t.teardown(() => [a, ...others].map((peer) => peer.close()))
  await a.listen()
  for (const peer of others) {
    peer.knows(a)
    await heard(peer, 'a commitQuery a-1', () => a.say(peer, 'commitQuery'))
  }
  const rounds = 20
  for (let round = 0; round < rounds; round++) {
    for (const [index, peer] of others.entries()) a.network.tell(peer.node, filled(300_000 + index, round * 10 + index))
  }
  for (const [index, peer] of others.entries()) {
    await waitFor(() => (peer.told.length === rounds ? true : undefined), { what: 'all forwards', limitMs: 10_000 })
    t.ok(peer.told.every((told, round) => isFilled(told, 300_000 + index, round * 10 + index)))
  }
})

function filled(size: number, byte: number): FileServerMessage {
  const value = { ino: 1n, offset: 2n, data: Buffer.alloc(size, byte), append: false, killPrivileges: true }
  const kind = { $case: 'operation', value: { kind: { $case: 'write', value } } } as const
  const caller = { uid: 1, gid: 2, groups: [], pid: 3 }
  const names = { ticket: 1n, session: 2n, slot: 3, seq: 4n, seen: 5n, seenEpoch: 6n }
  return { $case: 'forward', value: { ...names, caller, kind, dataOutside: false } }
}

function isFilled(message: FileServerMessage, size: number, byte: number): boolean {
  const call =
    message.$case === 'forward' && message.value.kind?.$case === 'operation' ? message.value.kind.value.kind : undefined
  return call?.$case === 'write' && call.value.data.equals(Buffer.alloc(size, byte))
}

void t.test('a stranger to the volume hears nothing', async (t) => {
  const folder = mkdtempSync(path.join(tmpdir(), 'banyan-peers-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const [a, b, stranger] = [new Peer(folder, 'a', 1), new Peer(folder, 'b', 1), new Peer(folder, 'c', 1, 'other')]
  t.teardown(() => [a, b, stranger].map((peer) => peer.close()))
  await a.listen()
  b.knows(a)
  stranger.knows(a)
  await heard(b, 'a refused a-1', () => {
    a.say(b, 'refused')
    a.say(stranger, 'refused')
  })
  t.same(stranger.received, [])
})

void t.test('what comes up in one turn, or while a frame is on its way, goes together; too much ends it', async (t) => {
  const frames: number[] = []
  let written: () => void = () => {}
  let overflown = false
  const outbox = new Outbox({
    write: (all, done) => {
      frames.push(all.length)
      written = done
    },
    overflow: () => {
      overflown = true
    },
  })
  const packed = (bytes: number): Packed => ({ message: { kind: undefined }, bodies: [new Uint8Array(bytes)] })
  for (let i = 0; i < 3; i++) outbox.push(packed(10))
  await new Promise((resolve) => setImmediate(resolve))
  for (let i = 0; i < 5; i++) outbox.push(packed(10))
  t.same(frames, [3])
  written()
  t.same(frames, [3, 5])
  for (let bytes = 0; bytes <= outboxBytesMax && !overflown; bytes += 16 << 20) outbox.push(packed(16 << 20))
  t.equal(overflown, true)
  written()
  t.same(frames, [3, 5], 'nothing more is written')
})
