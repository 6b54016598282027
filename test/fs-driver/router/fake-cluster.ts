import type { ProviderSource } from '../../../fs-driver/router/provider-source.ts'
import type { ProviderStream, StreamEvents, Transport } from '../../../fs-driver/router/transport.ts'
import type { Advert } from '../../../proto/advert.ts'
import { errnos } from '../../../proto/errno.ts'
import type { ClientFrame, Request, ServerFrame } from '../../../proto/generated/file-service.ts'
import { routeOf } from '../../../proto/route.ts'
import { localAdvert } from '../../fixtures/local-advert.ts'

export interface FakeProvider {
  readonly advert: Advert
  /** `dead`: streams end; `frozen`: they stand, and nothing comes; `deaf`: takes requests but loses them. */
  mode: 'alive' | 'dead' | 'frozen' | 'deaf' | 'unwilling'
  /** What it says of its side of a partition. */
  cutOff: string
  /** Does its advert stand in the directory that clients see? */
  advertised: boolean
  readonly streams: Set<FakeStream>
}

interface FakeStream {
  readonly events: StreamEvents
  open: boolean
}

/** Providers of one volume that share what exactly-once needs: the last reply of each slot. Replies come a turn later. */
export class FakeCluster implements Transport, ProviderSource {
  readonly providers: readonly FakeProvider[]
  /** What was executed, in order: the names of mkdirs. */
  readonly effects: string[] = []
  /** Triples as they arrived. */
  readonly arrived: string[] = []
  readonly opened: string[] = []
  ended = new Set<bigint>()
  /** What is said to locks. */
  granted = true
  /** How often a session was ended by its own wish. */
  endings = 0
  asked: readonly bigint[] = []
  heard: { readonly round: bigint; readonly open: readonly bigint[] }[] = []
  /** The reply to a change is lost, and so is its provider. */
  dieAfterExecuting = false
  /** Where the volume's history has come to: a client that has seen an earlier epoch is told that it is lost. */
  epoch = 1n
  #sessions = 0n
  readonly #slots = new Map<string, bigint>()
  readonly #watchers = new Set<(adverts: readonly Advert[]) => void>()

  constructor(names: readonly string[]) {
    this.providers = names.map((name, index) => ({
      advert: localAdvert(name, { role: index === 0 ? 'primary' : 'mirror' }),
      mode: 'alive',
      cutOff: '',
      advertised: true,
      streams: new Set(),
    }))
  }

  provider(name: string): FakeProvider {
    const provider = this.providers.find(({ advert }) => advert.node === name)
    if (provider === undefined) throw new Error(`there is no ${name}`)
    return provider
  }

  kill(name: string): void {
    const provider = this.provider(name)
    provider.mode = 'dead'
    for (const stream of provider.streams) this.#end(provider, stream)
  }

  goodbye(name: string, ended: boolean): void {
    for (const stream of this.provider(name).streams) {
      this.#reply(this.provider(name), stream, { kind: { $case: 'goodbye', value: { reason: 'test', ended } } })
    }
  }

  watch(onChange: (adverts: readonly Advert[]) => void): { close(): void } {
    this.#watchers.add(onChange)
    queueMicrotask(() => this.advertise())
    return { close: () => this.#watchers.delete(onChange) }
  }

  advertise(): void {
    const adverts = this.providers.filter(({ advertised }) => advertised).map(({ advert }) => advert)
    for (const watcher of this.#watchers) watcher(adverts)
  }

  open(address: string, events: StreamEvents): ProviderStream {
    const provider = this.provider(address)
    const stream: FakeStream = { events, open: true }
    this.opened.push(address)
    provider.streams.add(stream)
    if (provider.mode === 'dead') setImmediate(() => this.#end(provider, stream))
    return {
      send: (frame) => setImmediate(() => this.#onFrame(provider, stream, frame)),
      close: () => {
        stream.open = false
        provider.streams.delete(stream)
      },
    }
  }

  keepWarm(): void {}
  close(): void {}

  #end(provider: FakeProvider, stream: FakeStream): void {
    if (!stream.open) return
    stream.open = false
    provider.streams.delete(stream)
    stream.events.onEnd('it is dead')
  }

  #reply(provider: FakeProvider, stream: FakeStream, frame: ServerFrame): void {
    setImmediate(() => {
      if (stream.open && provider.mode !== 'frozen') stream.events.onFrame(frame)
    })
  }

  #onFrame(provider: FakeProvider, stream: FakeStream, { kind }: ClientFrame): void {
    if (provider.mode === 'frozen' || provider.mode === 'dead') return
    switch (kind?.$case) {
      case 'hello': {
        if (provider.mode === 'unwilling') {
          return this.#reply(provider, stream, {
            kind: { $case: 'goodbye', value: { reason: 'not in sync', ended: false } },
          })
        }
        const asked = kind.value.session
        if (this.ended.has(asked)) {
          return this.#reply(provider, stream, { kind: { $case: 'goodbye', value: { reason: 'ended', ended: true } } })
        }
        const session = asked === 0n ? ++this.#sessions : asked
        const { cutOff } = provider
        const value = { session, provider: provider.advert.node, slots: 128, heartbeatMs: 150, primary: 's1', cutOff }
        return this.#reply(provider, stream, { kind: { $case: 'welcome', value } })
      }
      case 'heartbeat': {
        this.heard.push({ round: kind.value.round, open: kind.value.openOrphans })
        const value = {
          round: this.asked.length > 0 ? 1n : 0n,
          orphans: [...this.asked],
          leaseMs: 0,
          cutOff: provider.cutOff,
        }
        return this.#reply(provider, stream, { kind: { $case: 'heartbeatReply', value } })
      }
      case 'endSession':
        this.endings++
        return this.#reply(provider, stream, { kind: { $case: 'goodbye', value: { reason: 'asked', ended: true } } })
      case 'request':
        if (provider.mode !== 'deaf') this.#onRequest(provider, stream, kind.value)
        return
      case 'recalled':
      case 'cancel':
      case undefined:
        return
    }
  }

  #onRequest(provider: FakeProvider, stream: FakeStream, request: Request): void {
    const { id, slot, seq, operation } = request
    const call = operation?.kind
    if (call === undefined) throw new Error('a request without an operation')
    const place = { position: 1n, positionEpoch: this.epoch }
    if (request.seenEpoch > 0n && request.seenEpoch < this.epoch) {
      const lost = { id, errno: errnos.EIO, ...place, lost: true, reply: undefined, leased: [] }
      return this.#reply(provider, stream, { kind: { $case: 'response', value: lost } })
    }
    if (routeOf(call) === 'change') {
      const triple = `${slot}/${seq}`
      this.arrived.push(triple)
      const last = this.#slots.get(String(slot)) ?? 0n
      if (seq < last) throw new Error(`misordered: ${triple} after ${last}`)
      if (seq > last) this.effects.push(call.$case === 'mkdir' ? call.value.name.toString() : call.$case)
      this.#slots.set(String(slot), seq)
      if (this.dieAfterExecuting) {
        this.dieAfterExecuting = false
        return this.kill(provider.advert.node)
      }
    }
    const done = { $case: 'done', value: {} } as const
    const locked = { $case: 'locked', value: { granted: this.granted } } as const
    const reply = { kind: call.$case === 'lock' ? locked : done }
    const response = { id, errno: 0, ...place, lost: false, reply, leased: [] }
    this.#reply(provider, stream, { kind: { $case: 'response', value: response } })
  }
}
