import t from 'tap'
import type { Key } from '../../proto/ids.ts'
import { origin } from '../../replication/entry.ts'
import { longJournal, Scenario, shortJournal } from './scenario.ts'
import { runSeeds, type SeedResult } from './seeds.ts'
import type { Digests } from './server.ts'

void t.test('R40: a cut without changes moves nothing, however many epochs came and went', async (t) => {
  const scenario = new Scenario({ storage: longJournal })
  scenario.write(20)
  const { world } = scenario
  for (let round = 0; round < 5; round++) {
    scenario.cutOff(scenario.mirror(), () => scenario.wait(500))
    scenario.inSync()
    const primary = scenario.primary()
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
  const scenario = new Scenario({ storage: shortJournal })
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
  const scenario = new Scenario({ storage: shortJournal })
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

void t.test('what a member missed is found out once, however often it asks meanwhile', async (t) => {
  const scenario = new Scenario({ storage: { ...shortJournal, collectMs: 2000 } })
  scenario.cutOff(scenario.mirror(), () => scenario.write(20))
  scenario.inSync()
  t.equal(scenario.world.events.get('member.resyncs'), 1)
})

void t.test('a resync that is cut goes on from where it was', async (t) => {
  const scenario = new Scenario({ storage: { ...shortJournal, readMs: 50 } })
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
  t.match(seen?.violation?.checker, /caches|reads|linearizability|exactly once/)
})

void t.test('a comparison whose question was lost on the way to a mirror is answered all the same', async (t) => {
  const scenario = new Scenario({ storage: longJournal })
  const { world } = scenario
  scenario.write(2)
  const primary = scenario.primary()
  const mirror = scenario.mirror()
  const heal = world.network.cut(primary.node, mirror.node)
  let digests: Digests | undefined
  const item = { kind: 'keyRange', from: '' as Key, to: undefined } as const
  primary.process?.step(() => {
    primary.process?.server.verify(item, (found) => {
      digests = found
    })
  })
  scenario.wait(100)
  heal()
  scenario.until('it is answered', () => digests !== undefined)
  t.equal(digests?.size, 3)
  t.equal(world.directory.current.record.inSync.length, 3, 'nobody had to leave')
  t.ok(world.events.get('reattaches'), 'but somebody had to attach anew')
})

void t.test('a member whose disk was emptied leads nobody, though the record has it in the set', async (t) => {
  for (const emptied of [0, 1]) {
    const scenario = new Scenario({ storage: longJournal })
    const { world } = scenario
    scenario.change({ kind: 'write', object: 'r0', value: 'kept' })
    const primary = scenario.primary()
    const [mirror, other] = world.hosts.filter((host) => host !== primary)
    const host = [mirror, primary][emptied]
    if (host === undefined || other === undefined) throw new Error('three members')
    // All at once: nobody is there to take anybody out of the set.
    for (const each of world.hosts) world.kill(each)
    host.disk.empty()
    world.revive(host)
    scenario.wait(10_000)
    const { record } = world.directory.current
    t.equal(record.incarnations[host.node] === `${host.node}#2` && record.primary === host.node, false, 'it waits')
    world.revive(other)
    scenario.until('the other leads', () => world.directory.current.record.primary === other.node)
    for (const each of world.hosts) world.revive(each)
    scenario.inSync()
    t.equal(scenario.ask({ kind: 'read', op: { kind: 'read', object: 'r0' }, seen: origin }), 'kept')
  }
})

void t.test('while the set is too small a flush waits for the disks of all who may lead', async (t) => {
  const scenario = new Scenario({ storage: longJournal, minInSync: 2 })
  const { world } = scenario
  const primary = scenario.primary()
  const others = world.hosts.filter((host) => host !== primary)
  scenario.change({ kind: 'write', object: 'r0', value: 'not on a disk' })
  const heals = others.map((host) => scenario.cut(host))
  scenario.until('nobody is in sync with it', () => world.directory.current.record.inSync.length === 1)
  t.same(
    world.directory.current.record.eligible,
    others.map(({ node }) => node),
  )
  t.equal(scenario.askAt(primary.node, { kind: 'flush', by: 'scenario' }), undefined, 'no disk but its own has it')
  for (const heal of heals) heal()
  scenario.inSync()
  t.type(scenario.ask({ kind: 'flush', by: 'scenario' }), 'string')
})

void t.test('a flush that a mirror did not hear of before it attached anew is answered all the same', async (t) => {
  const scenario = new Scenario({ storage: { ...longJournal, flushMs: 500 } }) // longer than from one heartbeat to the next
  const { world } = scenario
  scenario.write(2)
  const primary = scenario.primary()
  const heal = world.network.cut(primary.node, scenario.mirror().node)
  const flush = scenario.beginFlushed({ kind: 'write', object: 'r0', value: 'not to be lost' })
  scenario.wait(100)
  heal()
  scenario.until('it is answered', () => flush.answer !== undefined)
  t.equal(flush.answer, 'done')
  t.equal(world.directory.current.record.inSync.length, 3, 'nobody had to leave')
  t.ok(world.events.get('reattaches'), 'but somebody had to attach anew')
})
