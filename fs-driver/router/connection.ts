import type { Advert } from '../../proto/advert.ts'
import type {
  ClientFrame,
  HeartbeatReply,
  Hello,
  Recall,
  Response,
  ServerFrame,
  Welcome,
} from '../../proto/generated/file-service.ts'
import type { HoldHolder } from './hold-holder.ts'
import type { LeaseHolder } from './lease-holder.ts'
import type { ProviderStream, Transport } from './transport.ts'

export interface ConnectionEvents {
  onWelcome(welcome: Welcome): void
  onResponse(response: Response): void
  /** Nothing more comes. `ended`: the session is over for good. */
  onLost(reason: string, ended: boolean): void
  isOpen(ino: bigint): boolean
  /** undefined: this driver takes no leases. */
  readonly leases: LeaseHolder | undefined
  /** undefined: this driver takes no holds. */
  readonly holds: HoldHolder | undefined
}

export interface ConnectionLimits {
  /** Every so often the owner calls `onTick`. */
  readonly tickMs: number
  /** A provider that says nothing for so long is given up, though its stream stands. */
  readonly silenceMs: number
  /** A provider that answers but does not take the session for so long is left for another. */
  readonly welcomeMs: number
  readonly heartbeatMs: number
}

/**
 * One session's stream at one provider. Silence is counted in ticks, not in time: what passes while this process itself
 * does not run is not held against the provider.
 */
export class Connection {
  readonly advert: Advert
  readonly #events: ConnectionEvents
  readonly #limits: ConnectionLimits
  readonly #stream: ProviderStream
  readonly #now: () => number
  #welcomed = false
  #lost = false
  #silentTicks = 0
  #ticks = 0
  /** When those were sent that are not answered yet: each has one answer, in order. */
  readonly #beats: number[] = []
  #sinceHeartbeat = 0
  #asked: { readonly round: bigint; readonly orphans: readonly bigint[] } = { round: 0n, orphans: [] }
  /** The provider's side of a partition has no primary: what it does then; empty: all is well. */
  cutOff = ''
  /** Measured, smoothed; undefined: not yet. */
  roundTripMs: number | undefined

  constructor(
    transport: Transport,
    advert: Advert,
    how: { hello: Hello; events: ConnectionEvents; limits: ConnectionLimits; now: () => number },
  ) {
    this.advert = advert
    this.#events = how.events
    this.#limits = how.limits
    this.#now = how.now
    this.#stream = transport.open(advert.address, {
      onFrame: (frame) => this.#onFrame(frame),
      onEnd: (reason) => this.#lose(reason, false),
    })
    this.#stream.send({ kind: { $case: 'hello', value: how.hello } })
  }

  get welcomed(): boolean {
    return this.#welcomed && !this.#lost
  }

  send(frame: ClientFrame): void {
    this.#stream.send(frame)
  }

  /** What was not read yet is thrown away (S21); `onLost` is not called. */
  close(): void {
    if (this.#lost) return
    this.#lost = true
    this.#stream.close()
  }

  onTick(): void {
    if (this.#lost) return
    const { tickMs, silenceMs, welcomeMs, heartbeatMs } = this.#limits
    this.#ticks++
    this.#silentTicks++
    this.#sinceHeartbeat += tickMs
    if (this.#silentTicks * tickMs > silenceMs) return this.#lose('it is silent', false)
    if (!this.#welcomed && this.#ticks * tickMs > welcomeMs) return this.#lose('it does not take the session', false)
    if (this.#sinceHeartbeat >= heartbeatMs) this.#beat()
  }

  #onFrame({ kind }: ServerFrame): void {
    if (this.#lost) return
    this.#silentTicks = 0
    switch (kind?.$case) {
      case 'welcome':
        if (this.#welcomed) return this.#lose('it says welcome twice', false)
        this.#welcomed = true
        this.cutOff = kind.value.cutOff
        return this.#events.onWelcome(kind.value)
      case 'response':
        return this.#events.onResponse(kind.value)
      case 'heartbeatReply':
        return this.#onHeartbeatReply(kind.value)
      case 'recall':
        return this.#onRecall(kind.value)
      case 'recallHold':
        if (kind.value.hold !== undefined) this.#events.holds?.onRecallHold(kind.value.hold)
        return
      case 'goodbye':
        return this.#lose(kind.value.reason, kind.value.ended)
      case undefined:
        return this.#lose('it sends what this driver does not know', false)
    }
  }

  #onHeartbeatReply({ cutOff, round, orphans, leaseMs }: HeartbeatReply): void {
    this.cutOff = cutOff
    const sentAt = this.#beats.shift()
    if (sentAt === undefined) return this.#lose('it answers what was not said', false)
    this.#measure(this.#now() - sentAt)
    this.#events.leases?.onDroppedHeard()
    if (leaseMs > 0) this.#events.leases?.onProlonged(sentAt + leaseMs)
    if (round <= this.#asked.round) return
    this.#asked = { round, orphans }
    this.#beat() // the primary waits for it
  }

  #onRecall(recall: Recall): void {
    const { leases } = this.#events
    if (leases === undefined) return this.#lose('it recalls what it has not given', false)
    void leases.onRecall(recall).then(() => {
      if (!this.#lost) this.#stream.send({ kind: { $case: 'recalled', value: { number: recall.number } } })
    })
  }

  #beat(): void {
    const { round, orphans } = this.#asked
    const openOrphans = orphans.filter((ino) => this.#events.isOpen(ino))
    const dropped = this.#events.leases?.takeDropped() ?? []
    this.#sinceHeartbeat = 0
    this.#beats.push(this.#now())
    this.#stream.send({ kind: { $case: 'heartbeat', value: { round, openOrphans, dropped } } })
  }

  #measure(taken: number): void {
    this.roundTripMs = this.roundTripMs === undefined ? taken : this.roundTripMs * 0.8 + taken * 0.2
  }

  #lose(reason: string, ended: boolean): void {
    if (this.#lost) return
    this.#lost = true
    this.#stream.close()
    this.#events.onLost(reason, ended)
  }
}
