import t from 'tap'
import type { Seq } from '../../proto/ids.ts'
import { decodeBody } from './body.ts'
import type { Host } from './host.ts'
import { calmDirectory, calmNetwork, mixes, type Profile, profileOf } from './mixes.ts'
import type { Op } from './operations.ts'
import { Prng } from './random.ts'
import { runSeeds, type SeedResult } from './seeds.ts'
import type { Call } from './session.ts'
import { touchOf } from './state.ts'
import { World } from './world.ts'

/** One thing at a time, on purpose: what the runs with random faults can't measure. */
const calm: Profile = {
  ...profileOf(mixes.calm, new Prng(1)),
  members: 3,
  minInSync: 1,
  clients: 1,
  network: calmNetwork,
  directory: calmDirectory,
}
const shortJournal: Profile['storage'] = { keepEntries: 0, foldMax: 1000, keepPayloads: 0, flushMs: 2, readMs: 1 }
const longJournal: Profile['storage'] = { keepEntries: 10_000, foldMax: 0, keepPayloads: 10_000, flushMs: 2, readMs: 1 }

class Scenario {
  readonly world: World
  #session = ''
  #seq = 0

  constructor(storage: Profile['storage']) {
    this.world = new World({ seed: 1, profile: { ...calm, storage }, attested: 1, trace: 'off' })
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
    let result: string | undefined
    for (let round = 0; result === undefined; round++) {
      if (round > 100) throw new Error(`no answer to ${call.kind}`)
      const node = this.world.nodes[round % this.world.nodes.length]
      if (node === undefined) break
      this.world.send('c1', node, call, 0 as Seq, (answer) => {
        if (answer.kind === 'done') result ??= answer.result
      })
      this.world.runUntil(this.world.timeline.now + 1000, () => result !== undefined)
    }
    return result ?? ''
  }

  change(op: Op): void {
    this.#seq += 1
    this.ask({ kind: 'change', request: { session: this.#session, slot: 0, seq: this.#seq }, op })
  }

  /** Changes of all kinds of objects, `count` of each. */
  write(count: number): void {
    for (let i = 0; i < count; i++) {
      this.change({ kind: 'write', object: 'r0', value: `value ${this.#seq}`.repeat(10) })
      this.change({ kind: 'append', object: 'l0', item: `${this.#seq}` })
      this.change({ kind: 'writeAt', object: 'b1', offset: (i * 24) % 240, data: `${this.#seq} `.repeat(6) })
    }
    this.ask({ kind: 'flush' })
  }

  mirror(): Host {
    const { primary } = this.world.directory.current.record
    const found = this.world.hosts.find((host) => host.node !== primary)
    if (found === undefined) throw new Error('there is no mirror')
    return found
  }

  /** Cuts a member off for so long that it leaves the set; `meanwhile` happens then. */
  cutOff(host: Host, meanwhile: () => void): void {
    const others = this.world.nodes.filter((node) => node !== host.node)
    const { network } = this.world
    const heal = others.flatMap((node) => [network.cut(node, host.node), network.cut(host.node, node)])
    this.until(`${host.node} has left the set`, () => {
      return !this.world.directory.current.record.inSync.includes(host.node)
    })
    meanwhile()
    for (const each of heal) each()
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

void t.test('R40: a cut without changes moves nothing, however many epochs came and went', async (t) => {
  const scenario = new Scenario(longJournal)
  scenario.write(20)
  const { world } = scenario
  for (let round = 0; round < 5; round++) {
    scenario.cutOff(scenario.mirror(), () => scenario.wait(500))
    scenario.inSync()
    const primary = world.hosts.find((host) => host.node === world.directory.current.record.primary)
    if (primary === undefined) throw new Error('nobody is primary')
    world.kill(primary)
    scenario.until('another leads', () => world.directory.current.record.primary !== primary.node)
    world.revive(primary)
    scenario.inSync()
  }
  t.ok(world.directory.current.record.epoch > 10, `epoch ${world.directory.current.record.epoch}`)
  t.equal(world.events.get('member.resyncs'), undefined, 'nobody needed a resync')
  t.equal(world.movedBytes, 0)
})

void t.test('comparing everything moves nothing where nothing differs', async (t) => {
  const scenario = new Scenario(shortJournal)
  scenario.write(20)
  const mirror = scenario.mirror()
  const primary = scenario.world.hosts.find((host) => host.process?.replica.mayChange())?.process
  primary?.step(() => primary.replica.resyncFully(mirror.node))
  scenario.until('it has left', () => !scenario.world.isInSync())
  scenario.inSync()
  t.ok(scenario.world.events.get('resync.begins'), 'there was a resync')
  t.equal(scenario.world.movedBytes, 0)
})

void t.test('a resync moves what was changed, and not the rest', async (t) => {
  const scenario = new Scenario(shortJournal)
  for (let at = 0; at < 512; at += 32)
    scenario.change({ kind: 'writeAt', object: 'b2', offset: at, data: 'z'.repeat(32) })
  scenario.write(20)
  const from = scenario.world.oracle.log.length
  scenario.cutOff(scenario.mirror(), () => scenario.write(6))
  scenario.inSync()
  const changed = scenario.changedSince(from)
  t.ok(scenario.world.movedBytes > 0, 'there was something to move')
  t.ok(scenario.world.movedBytes <= 1.2 * changed, `${scenario.world.movedBytes} bytes for ${changed} changed`)
})

void t.test('a resync that is cut goes on from where it was', async (t) => {
  const scenario = new Scenario({ ...shortJournal, readMs: 50 })
  const { world } = scenario
  const from = world.oracle.log.length
  const mirror = scenario.mirror()
  scenario.cutOff(mirror, () => scenario.write(20))
  scenario.until('half of it is brought over', () => (mirror.disk.os.mark?.progress.itemsDone ?? 0) > 2)
  const done = mirror.disk.os.mark?.progress.itemsDone ?? 0
  world.kill(mirror)
  world.revive(mirror)
  t.ok((mirror.disk.os.mark?.remaining.length ?? 0) > 0, 'there is something left to bring over')
  scenario.until('it goes on', () => mirror.disk.os.mark === undefined || mirror.disk.os.mark.progress.itemsDone > done)
  scenario.inSync()
  const changed = scenario.changedSince(from)
  t.ok(world.movedBytes <= 1.2 * changed, `${world.movedBytes} bytes for ${changed} changed`)
})

void t.test('clocks that drift more than the margin are out of contract, and it shows', async (t) => {
  t.setTimeout(120_000)
  let seen: SeedResult | undefined
  await runSeeds({
    from: 1,
    count: 300,
    faults: 'partitions',
    profile: { drift: 0.5 },
    processes: 2,
    untilViolation: true,
    onResult(result) {
      if (result.violation !== undefined) seen = result
    },
  })
  t.match(seen?.violation?.checker, /reads|linearizability|exactly once/)
})
