import type { NodeId } from '../../proto/ids.ts'
import { decodeBody } from './body.ts'
import type { Host } from './host.ts'
import { calmDirectory, calmNetwork, mixes, type Profile, profileOf } from './mixes.ts'
import type { Op } from './operations.ts'
import { Prng } from './random.ts'
import type { Answer, Call, RequestId } from './session.ts'
import { touchOf } from './state.ts'
import { World } from './world.ts'

const calm: Profile = {
  ...profileOf(mixes.calm, new Prng(1)),
  members: 3,
  minInSync: 1,
  clients: 1,
  network: calmNetwork,
  directory: calmDirectory,
}
export const shortJournal: Profile['storage'] = {
  keepEntries: 0,
  foldMax: 1000,
  keepPayloads: 0,
  flushMs: 2,
  readMs: 1,
}
export const longJournal: Profile['storage'] = {
  keepEntries: 10_000,
  foldMax: 0,
  keepPayloads: 10_000,
  flushMs: 2,
  readMs: 1,
}

/** Its answer is there as soon as it comes. */
interface Asked {
  readonly answer: Answer['kind'] | undefined
}

/** One thing at a time, on purpose: what the runs with random faults can't measure, or seldom come to. */
export class Scenario {
  readonly world: World
  #session = ''
  #seq = 0

  constructor(profile: Partial<Profile>) {
    this.world = new World({ seed: 1, profile: { ...calm, ...profile }, attested: 1, trace: 'off' })
    for (const host of this.world.hosts) this.world.revive(host)
    this.inSync()
    this.#session = this.ask({ kind: 'open', nonce: 'scenario' })
  }

  until(what: string, look: () => boolean): void {
    if (!this.world.runUntil(this.world.timeline.now + 20_000, look)) throw new Error(`waited in vain until ${what}`)
  }

  wait(ms: number): void {
    this.world.runUntil(this.world.timeline.now + ms, () => false)
  }

  inSync(): void {
    this.until('all are in sync', () => this.world.isInSync())
  }

  /** Asks one member after the other until there is an answer. */
  ask(call: Call): string {
    for (let round = 0; round < 100; round++) {
      const node = this.world.nodes[round % this.world.nodes.length]
      const result = node === undefined ? undefined : this.askAt(node, call)
      if (result !== undefined) return result
    }
    throw new Error(`no answer to ${call.kind}`)
  }

  /** Lets things happen one by one, until it is so. */
  step(until: () => boolean): void {
    const end = this.world.timeline.now + 20_000
    while (!until() && this.world.timeline.now < end) this.world.timeline.step()
  }

  /** What that member says within a second, if it is an answer. */
  askAt(node: NodeId, call: Call): string | undefined {
    let result: string | undefined
    this.world.send('c1', node, call, this.world.known(), (answer) => {
      if (answer.kind === 'done') result ??= answer.result
    })
    this.world.runUntil(this.world.timeline.now + 1000, () => result !== undefined)
    return result
  }

  change(op: Op): void {
    const request = this.#request()
    this.ask({ kind: 'change', request, op })
    this.world.acknowledged(request)
  }

  /** Returns in the very moment in which the primary has answered. */
  changeNow(op: Op): void {
    const request = this.#request()
    const asked = this.#askOnce({ kind: 'change', request, op })
    this.step(() => asked.answer !== undefined)
    this.world.acknowledged(request)
  }

  /** The primary is asked once for a change and a flush of it, and is not asked again, as over a connection that stands. */
  beginFlushed(op: Op): Asked {
    this.#askOnce({ kind: 'change', request: this.#request(), op })
    return this.#askOnce({ kind: 'flush', by: 'once' })
  }

  #askOnce(call: Call): Asked {
    const asked: { answer: Answer['kind'] | undefined } = { answer: undefined }
    const { process } = this.primary()
    process?.step(() =>
      process.server.onCall(call, ({ kind }) => {
        asked.answer = kind
      }),
    )
    return asked
  }

  #request(): RequestId {
    this.#seq += 1
    return { session: this.#session, slot: 0, seq: this.#seq }
  }

  /** Changes of all kinds of objects, `count` of each. */
  write(count: number): void {
    for (let i = 0; i < count; i++) {
      this.change({ kind: 'write', object: 'r0', value: `value ${this.#seq}`.repeat(10) })
      this.change({ kind: 'append', object: 'l0', item: `${this.#seq}` })
      this.change({ kind: 'writeAt', object: 'b1', offset: (i * 24) % 240, data: `${this.#seq} `.repeat(6) })
    }
    this.ask({ kind: 'flush', by: 'scenario' })
  }

  mirror(): Host {
    const { primary } = this.world.directory.current.record
    const found = this.world.hosts.find((host) => host.node !== primary)
    if (found === undefined) throw new Error('there is no mirror')
    return found
  }

  primary(): Host {
    const { primary } = this.world.directory.current.record
    const found = this.world.hosts.find((host) => host.node === primary)
    if (found === undefined) throw new Error('nobody is primary')
    return found
  }

  /** Nothing goes between that member and the others until the result is called. */
  cut(host: Host): () => void {
    const { network, nodes } = this.world
    const others = nodes.filter((node) => node !== host.node)
    const heal = others.flatMap((node) => [network.cut(node, host.node), network.cut(host.node, node)])
    return () => heal.forEach((each) => each())
  }

  /** Cuts a member off for so long that it leaves the set; `meanwhile` happens then. */
  cutOff(host: Host, meanwhile: () => void): void {
    const heal = this.cut(host)
    this.until(`${host.node} has left the set`, () => {
      return !this.world.directory.current.record.inSync.includes(host.node)
    })
    meanwhile()
    heal()
  }

  /** Bytes of contents that entries after `from` have left behind: each key and each byte of a blob counts once. */
  changedSince(from: number): number {
    const keys = new Map<string, number>()
    const bytes = new Set<string>()
    for (const entry of this.world.oracle.log.slice(from)) {
      for (const effect of decodeBody(entry.body)) {
        const touch = touchOf(effect)
        if (effect.kind === 'put') keys.set(effect.key, effect.value.length)
        if (!('range' in touch)) continue
        for (let i = 0; i < touch.range.length; i++) bytes.add(`${touch.range.blob}:${touch.range.offset + i}`)
      }
    }
    return [...keys.values()].reduce((sum, length) => sum + length, 0) + bytes.size
  }
}
