import { GrpcTransport } from '../../fs-driver/router/grpc-transport.ts'
import type { ProviderStream } from '../../fs-driver/router/transport.ts'
import type {
  Caller,
  HeartbeatReply,
  Hello,
  Operation,
  Recall,
  Response,
  ServerFrame,
} from '../../proto/generated/file-service.ts'
import { waitFor } from '../fixtures/wait.ts'

type Call = NonNullable<Operation['kind']>

const root: Caller = { uid: 0, gid: 0, groups: [], pid: 1 }
let clients = 0
const beatMs = 150

/** A client that does what a test tells it, and nothing else but its heartbeats. */
export class ScriptedClient {
  readonly recalls: Recall[] = []
  session = 0n
  readonly #transport = new GrpcTransport()
  readonly #nonce = `scripted ${++clients}`
  readonly #leases: boolean
  readonly #responses = new Map<number, Response>()
  readonly #beats: HeartbeatReply[] = []
  #stream: ProviderStream | undefined
  #attach = 0n
  #welcomed = false
  #isRefused = false
  #ids = 0
  #seqs = 0n
  #slots = 0
  #sent = 0
  #timer: NodeJS.Timeout | undefined
  #obeys = false

  constructor(options: { readonly leases: boolean } = { leases: true }) {
    this.#leases = options.leases
  }

  /** A stream to that provider; the one before is closed. */
  async attach(address: string): Promise<void> {
    await this.#until('a welcome', async () => {
      this.#open(address)
      await this.#until('a welcome or goodbye', () => this.#welcomed || this.#isRefused)
      return this.#welcomed
    })
    this.#timer = setInterval(() => void this.beat().catch(() => {}), beatMs)
  }

  #open(address: string): void {
    clearInterval(this.#timer)
    this.#stream?.close()
    this.#welcomed = false
    this.#isRefused = false
    this.recalls.length = 0
    this.#beats.length = 0
    this.#sent = 0
    this.#attach += 1n
    this.#stream = this.#transport.open(address, {
      onFrame: (frame) => this.#onFrame(frame),
      onEnd: () => {
        this.#isRefused = true
      },
    })
    this.#stream.send({ kind: { $case: 'hello', value: this.#hello() } })
  }

  /** Attaches, and waits until the provider gives leases. */
  async attachWithLeases(address: string): Promise<void> {
    await this.attach(address)
    await this.#until('leases', async () => (await this.beat()).leaseMs > 0)
  }

  async ask(call: Call, invalidated: readonly bigint[] = []): Promise<Response> {
    return await this.answer(this.begin(call, { invalidated }))
  }

  /** Sends a request, a change if `invalidated` is given, and gives its number. */
  begin(call: Call, { invalidated }: { readonly invalidated?: readonly bigint[] } = {}): number {
    const id = ++this.#ids
    const seq = invalidated === undefined ? 0n : ++this.#seqs
    const value = {
      id,
      slot: seq === 0n ? 0 : ++this.#slots % 100,
      seq,
      seen: 0n,
      seenEpoch: 0n,
      caller: root,
      operation: { kind: call },
      invalidated: [...(invalidated ?? [])],
    }
    this.#stream?.send({ kind: { $case: 'request', value } })
    return id
  }

  isAnswered(id: number): boolean {
    return this.#responses.has(id)
  }

  async answer(id: number): Promise<Response> {
    return await waitFor(() => this.#responses.get(id), { what: `the answer to ${id}`, limitMs: 10_000, everyMs: 2 })
  }

  async beat(dropped: readonly bigint[] = []): Promise<HeartbeatReply> {
    const mine = this.#sent++
    this.#stream?.send({ kind: { $case: 'heartbeat', value: { round: 0n, openOrphans: [], dropped: [...dropped] } } })
    return await waitFor(() => this.#beats[mine], { what: 'a heartbeat', limitMs: 10_000, everyMs: 2 })
  }

  async recall(): Promise<Recall> {
    return await waitFor(() => this.recalls.shift(), { what: 'a recall', limitMs: 10_000, everyMs: 2 })
  }

  recalled({ number }: Recall): void {
    this.#stream?.send({ kind: { $case: 'recalled', value: { number } } })
  }

  /** From now on, and for what was asked before, it lets go at once. */
  obey(): void {
    this.#obeys = true
    for (const recall of this.recalls.splice(0)) this.recalled(recall)
  }

  close(): void {
    clearInterval(this.#timer)
    this.#stream?.close()
    this.#transport.close()
  }

  #hello(): Hello {
    const { session } = this
    return { session, host: 'h', pid: 1, path: '/', nonce: this.#nonce, leases: this.#leases, attach: this.#attach }
  }

  #onFrame({ kind }: ServerFrame): void {
    if (kind?.$case === 'welcome') {
      this.session = kind.value.session
      this.#welcomed = true
    } else if (kind?.$case === 'response') this.#responses.set(kind.value.id, kind.value)
    else if (kind?.$case === 'heartbeatReply') this.#beats.push(kind.value)
    else if (kind?.$case === 'goodbye') this.#isRefused = true
    else if (kind?.$case !== 'recall') return
    else if (this.#obeys) this.recalled(kind.value)
    else this.recalls.push(kind.value)
  }

  async #until(what: string, look: () => boolean | Promise<boolean>): Promise<void> {
    await waitFor(async () => ((await look()) ? true : undefined), { what, limitMs: 10_000, everyMs: 10 })
  }
}
