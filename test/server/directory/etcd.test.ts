import t, { type Test } from 'tap'
import { incarnation } from '../../../proto/ids.ts'
import { DirectoryRefusal, DirectoryUnavailable } from '../../../server/directory/directory.ts'
import { LeasedAdvert } from '../../../server/directory/etcd/advert.ts'
import { Endpoints, type EtcdSettings } from '../../../server/directory/etcd/endpoints.ts'
import { EtcdDirectory } from '../../../server/directory/etcd/etcd.ts'
import { Keys } from '../../../server/directory/etcd/keys.ts'
import { VolumeWatch } from '../../../server/directory/etcd/watch.ts'
import { Etcd } from '../../fixtures/etcd.ts'
import { waitFor } from '../../fixtures/wait.ts'
import { advert, Ears, first, ruledBy, runDirectorySuite, s1, s2 } from './suite.ts'
import { until } from './until.ts'

t.setTimeout(240_000)
const shared = await Etcd.start(t, 1)
let clusters = 0

/** Of a cluster that nobody has used. */
function settings(etcd: Etcd): EtcdSettings {
  clusters += 1
  return { endpoints: etcd.endpoints, prefix: `cluster${clusters}/` }
}

function client(test: Test, how: EtcdSettings): EtcdDirectory {
  const made = new EtcdDirectory(how)
  test.teardown(() => made.close())
  return made
}

function watch(test: Test, directory: EtcdDirectory): Ears {
  const ears = new Ears()
  const watching = directory.watch('main', ears)
  test.teardown(() => watching.close())
  return ears
}

runDirectorySuite(async (test) => {
  const how = settings(shared)
  return { one: client(test, how), other: client(test, how), where: JSON.stringify(how) }
})

void t.test('settings that make no sense are refused at once', (t) => {
  t.throws(() => new EtcdDirectory({ endpoints: [] }), DirectoryRefusal)
  t.throws(
    () => new EtcdDirectory({ endpoints: [{ url: 'https://127.0.0.1:1' }] }),
    DirectoryRefusal,
    'no certificates',
  )
  t.end()
})

void t.test('what is stored and is no record is refused by name, and a watch goes on past it', async (t) => {
  const how = settings(shared)
  const directory = client(t, how)
  const endpoints = new Endpoints(how)
  t.teardown(() => endpoints.close())
  const key = new Keys(how.prefix ?? '').record('main')
  await endpoints.ask((etcd) => etcd.kv.put({ key, value: Buffer.from([0x0a, 0xff, 0x01]) }))
  await t.rejects(directory.readRecord('main'), { name: 'DirectoryRefusal', message: /record\/main/ })
  const ears = watch(t, directory)
  const kept = directory.advertise('main', advert(s1))
  t.teardown(() => kept.close())
  await until('the advert', () => ears.names() === 's1')
  t.same(ears.versions, [])
})

void t.test('a watch that a compaction has overtaken reads anew, and misses nothing that stands', async (t) => {
  const how = settings(shared)
  const directory = client(t, how)
  await directory.createRecord('main', first)
  let overtaken = false
  /** Between the reading and the watch there is more history than etcd still has. */
  class Overtaken extends Endpoints {
    override async ask<T>(question: Parameters<Endpoints['ask']>[0]): Promise<T> {
      const answer = await super.ask(question)
      if (!overtaken) {
        overtaken = true
        await directory.swapRecord('main', 1, ruledBy(s1, 1))
        await directory.attestDeath(s2, incarnation('s2-a'))
        await shared.compact()
      }
      return answer as T
    }
  }
  const endpoints = new Overtaken(how)
  const ears = new Ears()
  const watching = new VolumeWatch(endpoints, new Keys(how.prefix ?? ''), 'main', ears)
  t.teardown(() => {
    watching.close()
    endpoints.close()
  })
  await until('what the compaction has hidden', () => ears.last?.version === 2 && ears.deaths.length === 1)
  await directory.swapRecord('main', 2, ruledBy(s2, 2))
  await until('the watch to go on', () => ears.last?.version === 3)
  t.equal(ears.last?.record.primary, s2)
})

void t.test('a put that etcd carries out late does not take an advert to the lease of before', async (t) => {
  const how = settings(shared)
  const questions: (() => Promise<unknown>)[] = []
  const streams: { cancel(): void }[] = []
  /** Each question can be asked once more, and each stream ended. */
  class Recorded extends Endpoints {
    override ask<T>(question: Parameters<typeof Endpoints.prototype.ask<T>>[0]): Promise<T> {
      questions.push(() => super.ask(question))
      return super.ask(question)
    }

    override forStream(): ReturnType<Endpoints['forStream']> {
      const given = super.forStream()
      const { leaseClient } = given.client
      const keepAlive = leaseClient.leaseKeepAlive.bind(leaseClient)
      leaseClient.leaseKeepAlive = async () => {
        const stream = await keepAlive()
        streams.push(stream)
        return stream
      }
      return given
    }
  }
  const [recorded, plain] = [new Recorded(how), new Endpoints(how)]
  const key = new Keys(how.prefix ?? '').advert('main', s1, advert(s1).incarnation)
  const leased = new LeasedAdvert(recorded, key, advert(s1))
  t.teardown(async () => {
    await leased.close()
    for (const endpoints of [recorded, plain]) endpoints.close()
  })
  const leaseOf = async () => (await plain.ask((etcd) => etcd.kv.range({ key }))).kvs[0]?.lease
  const stream = await waitFor(() => streams[0], { what: 'the lease to be kept', limitMs: 10_000 })
  const first = await leaseOf()
  if (first === undefined) throw new Error('there is no advert')
  const put = questions.at(-1)
  stream.cancel()
  const another = async () => {
    const lease = await leaseOf()
    return lease === first ? undefined : lease
  }
  const second = await waitFor(another, { what: 'another lease', limitMs: 10_000 })
  await put?.() // no error: the lease is there still
  const isOver = async () => (await plain.ask((etcd) => etcd.leaseClient.leaseTimeToLive({ ID: first }))).TTL === '-1'
  await waitFor(async () => (await isOver()) || undefined, { what: 'the end of the first lease', limitMs: 10_000 })
  t.equal(await leaseOf(), second)
})

void t.test('an etcd that starts again is found again: record, deaths, adverts and watch', async (t) => {
  const etcd = await Etcd.start(t, 1)
  const [member] = etcd.members
  if (member === undefined) throw new Error('no member')
  const how = settings(etcd)
  const [server, driver] = [client(t, how), client(t, how)]
  await server.createRecord('main', first)
  await server.attestDeath(s2, incarnation('s2-a'))
  const kept = server.advertise('main', advert(s1))
  t.teardown(() => kept.close())
  const ears = watch(t, driver)
  await until('the advert', () => ears.names() === 's1')
  await member.kill()
  kept.update({ role: 'primary' })
  const began = performance.now()
  await t.rejects(driver.readRecord('main'), DirectoryUnavailable)
  await t.rejects(driver.swapRecord('main', 1, first), DirectoryUnavailable)
  await t.rejects(driver.attestDeath(s1, incarnation('s1-z')), DirectoryUnavailable)
  t.ok(performance.now() - began < 15_000, 'whoever asks waits for a limited time')
  etcd.startMember(member)
  await until('the advert anew', () => ears.adverts?.[0]?.role === 'primary')
  t.same(await server.swapRecord('main', 1, ruledBy(s1, 1)), { version: 2, record: ruledBy(s1, 1) })
  await until('the watch to go on', () => ears.last?.version === 2)
  t.ok(ears.deaths.includes('s2 s2-a'))
})

void t.test('of three members one may be gone or stopped, two may not', async (t) => {
  const etcd = await Etcd.start(t, 3)
  const [a, b, c] = etcd.members
  if (a === undefined || b === undefined || c === undefined) throw new Error('no members')
  const how = settings(etcd)
  const [one, other] = [client(t, how), client(t, how)]
  const ears = watch(t, other)
  const kept = one.advertise('main', advert(s1))
  t.teardown(() => kept.close())
  await one.createRecord('main', first)
  let version = 1
  /** As replication does it: asked again until it is known. */
  const change = async (what: string): Promise<void> => {
    const next = ruledBy(s1, version)
    await until(what, async () => {
      const after = await one.swapRecord('main', version, next).catch(() => undefined)
      return after?.version === version + 1 && after.record.changedBy === next.changedBy
    })
    version += 1
    await until(`the watch to hear of it: ${what}`, () => ears.last?.version === version)
  }
  for (const member of [a, b, c]) {
    await member.kill()
    await change(`a change without ${member.name}`)
    etcd.startMember(member)
    await etcd.answers()
    member.signal('SIGSTOP')
    await change(`a change while ${member.name} is stopped`)
    member.signal('SIGCONT')
    await etcd.answers()
  }
  await until('the advert, as ever', () => ears.names() === 's1')
  await a.kill()
  await b.kill()
  await t.rejects(one.swapRecord('main', version, ruledBy(s2, 99)), DirectoryUnavailable, 'no majority')
  etcd.startMember(a)
  await until('a majority again', async () => {
    const present = await other.readRecord('main').catch(() => undefined)
    return present?.version === version || present?.version === version + 1 // the swap may have waited in a member
  })
})

void t.test('a watch on a member whose disk hangs hears what has changed, from another', async (t) => {
  const etcd = await Etcd.start(t, 3, { ownDisk: true })
  const how = settings(etcd)
  // On every member at least one watch, whichever they choose.
  const watchers = etcd.endpoints.map((_, at) => {
    const endpoints = [...etcd.endpoints.slice(at), ...etcd.endpoints.slice(0, at)]
    return watch(
      t,
      preferringFirst(() => client(t, { ...how, endpoints })),
    )
  })
  const writer = client(t, { ...how, endpoints: etcd.endpoints.slice(1) })
  const { version } = await writer.createRecord('main', first)
  const allHave = (wanted: number): boolean => watchers.every(({ last }) => last?.version === wanted)
  await until('all to hear of it', () => allHave(version))
  await etcd.disk?.hang()
  await until('a change without that member', async () => {
    const after = await writer.swapRecord('main', version, ruledBy(s1, 1)).catch(() => undefined)
    return after !== undefined
  })
  await until('all to hear of that, too', () => allHave(version + 1))
  await etcd.disk?.goOn()
  await writer.swapRecord('main', version + 1, ruledBy(s1, 2))
  await until('all to go on', () => allHave(version + 2))
})

/** A client begins with a member by chance. */
function preferringFirst<T>(make: () => T): T {
  const { random } = Math
  Math.random = () => 0
  try {
    return make()
  } finally {
    Math.random = random
  }
}
