import fc from 'fast-check'
import t from 'tap'
import { locksOn } from '../../../server/filesystem/locks.ts'
import type { Executor } from '../../../server/session/executor.ts'
import type { Locks } from '../../../server/session/locks.ts'
import type { Attempt, Change, FileCall } from '../../../server/session/ports.ts'
import { Sessions } from '../../../server/session/sessions.ts'
import { replyKey } from '../../../server/store/keys.ts'
import { seed } from '../../fixtures/random.ts'
import { MemoryVolume, root } from './memory-volume.ts'

// Whatever is lost with a primary, sent again, or sent twice: nobody is given what somebody else was told he has.

const ino = 1n
const bytesMax = 4
const sessionNumbers = [1n, 2n, 3n] as const

type Step =
  | { readonly kind: 'lock' | 'unlock'; readonly session: bigint; readonly bytes: Bytes; readonly exclusive: boolean }
  | { readonly kind: 'end'; readonly session: bigint }
  | { readonly kind: 'commit' }
  /** `lost`: with all that was not committed. */
  | { readonly kind: 'takeover'; readonly lost: boolean }
  /** A copy of an earlier change comes late. */
  | { readonly kind: 'copy'; readonly of: number }

interface Bytes {
  readonly start: number
  readonly end: number
}

const session = fc.constantFrom(...sessionNumbers)
const bytes = fc
  .tuple(fc.nat(bytesMax - 1), fc.nat(bytesMax - 1))
  .map(([a, b]): Bytes => ({ start: Math.min(a, b), end: Math.max(a, b) }))
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 8, arbitrary: fc.record({ kind: fc.constant('lock'), session, bytes, exclusive: fc.boolean() }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('unlock'), session, bytes, exclusive: fc.constant(false) }) },
  { weight: 6, arbitrary: fc.constant({ kind: 'commit' }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('takeover'), lost: fc.boolean() }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('copy'), of: fc.nat() }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('end'), session }) },
) as fc.Arbitrary<Step>

/** What one client was told, by byte. */
interface Client {
  readonly has: ('shared' | 'exclusive' | undefined)[]
  state: 'idle' | 'busy' | 'over'
  seq: bigint
}

const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

class World {
  readonly memory = new MemoryVolume()
  readonly clients = new Map<bigint, Client>()
  readonly faults: string[] = []
  readonly #sent: Change[] = []
  #executor: Executor
  #sessions: Sessions
  #locks: Locks

  constructor() {
    for (const number of sessionNumbers) {
      this.memory.openSession(number)
      this.clients.set(number, { has: [], state: 'idle', seq: 0n })
    }
    this.#locks = this.memory.locks()
    this.#executor = this.memory.executor({ locks: this.#locks })
    this.#sessions = this.#newSessions()
  }

  async begin(): Promise<void> {
    await this.#locks.begin()
    await this.#sessions.begin()
  }

  async play(one: Step): Promise<void> {
    switch (one.kind) {
      case 'commit':
        this.memory.commit()
        break
      case 'takeover':
        await this.#takeOver(one.lost)
        break
      case 'copy': {
        const copied = this.#sent[one.of % this.#sent.length]
        if (copied !== undefined) void this.#executor.execute(copied)
        break
      }
      case 'end':
        this.#end(one.session)
        break
      case 'lock':
      case 'unlock':
        this.#change(one)
    }
    await settled()
  }

  async #takeOver(lost: boolean): Promise<void> {
    if (lost) this.memory.lose()
    else this.memory.commit()
    await settled()
    this.#locks.end()
    this.#locks = this.memory.locks()
    this.#executor = this.memory.executor({ locks: this.#locks })
    this.#sessions = this.#newSessions()
    await this.begin()
    this.memory.outcome = 'proposed'
  }

  #newSessions(): Sessions {
    const { commits, replica, state } = this.memory
    const common = {
      commits,
      replica,
      state,
      locks: this.#locks,
      holds: this.memory.holds(),
      nowNs: () => 1n,
      now: () => 0,
      log: () => {},
    }
    return new Sessions({ ...common, timeoutMs: 1000 })
  }

  #end(number: bigint): void {
    const client = this.clients.get(number)
    if (client === undefined || client.state !== 'idle') return
    client.state = 'over'
    client.has.length = 0
    void this.#untilDecided(() => this.#sessions.end(number))
  }

  #change(one: Step & { kind: 'lock' | 'unlock' }): void {
    const client = this.clients.get(one.session)
    if (client === undefined || client.state !== 'idle') return
    const { start, end } = one.bytes
    const place = { ino, owner: 1n, flock: false, start: BigInt(start), end: BigInt(end) }
    const range = { ...place, exclusive: one.exclusive }
    const operation: FileCall =
      one.kind === 'lock'
        ? { $case: 'lock', value: { range, handle: 1n, wait: 0n } }
        : { $case: 'unlock', value: { range } }
    const change = { session: one.session, slot: 0, seq: ++client.seq, caller: root, operation }
    this.#sent.push(change)
    client.state = 'busy'
    if (one.kind === 'unlock') client.has.fill(undefined, start, end + 1)
    void this.#untilDecided(() => this.#executor.execute(change)).then((answer) => {
      client.state = 'idle'
      const granted = answer.kind === 'done' && answer.reply?.$case === 'locked' && answer.reply.value.granted
      if (granted) this.#granted(one.session, client, one)
    })
  }

  #granted(
    number: bigint,
    client: Client,
    { bytes: { start, end }, exclusive }: Step & { kind: 'lock' | 'unlock' },
  ): void {
    for (let at = start; at <= end; at++) {
      client.has[at] = exclusive ? 'exclusive' : 'shared'
      for (const [other, { has }] of this.clients) {
        const there = has[at]
        if (other === number || there === undefined || (!exclusive && there === 'shared')) continue
        this.faults.push(`${number} was given byte ${at}, which ${other} has`)
      }
    }
  }

  /** As a provider does: asks whoever is primary by then. */
  async #untilDecided(ask: () => Promise<Attempt>): Promise<Attempt> {
    for (;;) {
      const answer = await ask()
      if (answer.kind !== 'elsewhere') return answer
      await settled()
    }
  }
}

/** `forgetful`: a fault put in on purpose, which forgets what was answered. */
async function play(steps: readonly Step[], { forgetful = false } = {}): Promise<readonly string[]> {
  const world = new World()
  await world.begin()
  for (const one of steps) {
    const keys = forgetful ? sessionNumbers.map((number) => replyKey(number, 0)) : []
    world.memory.put(keys.map((key) => ({ kind: 'delete', key })))
    await world.play(one)
  }
  for (let round = 0; round < 3; round++) await world.play({ kind: 'commit' })
  const held = locksOn(world.memory.state.committed, ino)
  for (const [number, { has, state }] of world.clients) {
    if (state === 'busy') world.faults.push(`${number} was never answered`)
    const there = held.filter((lock) => lock.session === number)
    for (let at = 0; at < bytesMax; at++) {
      const lock = there.find(({ start, end }) => start <= BigInt(at) && BigInt(at) <= end)
      const kept = lock === undefined ? undefined : lock.exclusive ? 'exclusive' : 'shared'
      if (kept !== has[at]) world.faults.push(`${number} has ${has[at]} of byte ${at}, the servers say ${kept}`)
    }
  }
  return world.faults
}

const histories = fc.array(step, { maxLength: 40, size: 'max' })
const check = (how: { readonly forgetful: boolean }, numRuns: number) =>
  fc.check(
    fc.asyncProperty(histories, async (steps) => {
      const faults = await play(steps, how)
      if (faults.length > 0) throw new Error(faults.join('; '))
    }),
    { numRuns, seed, endOnFailure: how.forgetful },
  )

void t.test('through takeovers, losses and copies a lock is had by who was told so, and by nobody else', async (t) => {
  const result = await check({ forgetful: false }, 300)
  if (result.failed) t.comment(`BANYAN_SEED=${seed}\n${fc.stringify(result.counterexample)}`)
  t.notOk(result.failed, `BANYAN_SEED=${seed}: ${String(result.errorInstance)}`)
})

void t.test('it is noticed when answers are forgotten', async (t) => {
  t.ok((await check({ forgetful: true }, 500)).failed, `BANYAN_SEED=${seed}`)
})
