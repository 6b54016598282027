import { spawn } from 'node:child_process'
import t, { type Test } from 'tap'
import type { Advert } from '../../../proto/advert.ts'
import { epoch, incarnation, type NodeId, nodeId } from '../../../proto/ids.ts'
import { newRecord, type Versioned, type VolumeRecord } from '../../../replication/record.ts'
import { type Directory, DirectoryRefusal, type DirectoryWatcher } from '../../../server/directory/directory.ts'
import { programArgs } from '../../fixtures/program.ts'
import { until } from './until.ts'

export const s1 = nodeId('s1')
export const s2 = nodeId('s2')
export const s3 = nodeId('s3')
export const first = newRecord([s1, s2, s3])

export const ruledBy = (node: NodeId, reign: number): VolumeRecord => ({
  ...first,
  epoch: epoch(reign),
  primary: node,
  changedBy: `${node}-${reign}`,
})

export const advert = (node: NodeId, more: Partial<Advert> = {}): Advert => ({
  node,
  incarnation: incarnation(`${node}-a`),
  address: `unix:/run/${node}.sock`,
  remote: `${node}.example.org:7400`,
  host: 'here',
  load: 0,
  role: 'none',
  ...more,
})

const attached = { number: 1, volume: 'other', at: '/a/b', parent: 2n ** 40n + 7n, name: 'b' }

/** Remembers what it was told. */
export class Ears implements DirectoryWatcher {
  readonly versions: number[] = []
  readonly deaths: string[] = []
  adverts: readonly Advert[] | undefined
  last: Versioned | undefined

  record(versioned: Versioned): void {
    this.versions.push(versioned.version)
    this.last = versioned
  }

  death(node: NodeId, of: string): void {
    this.deaths.push(`${node} ${of}`)
  }

  providers(adverts: readonly Advert[]): void {
    this.adverts = adverts
  }

  names(): string {
    return (this.adverts ?? []).map((one) => one.node).join(' ')
  }
}

/** Two ways to one empty directory; `where`: how another process finds it (see `advertiser`), if one can. */
export interface Ways {
  readonly one: Directory
  readonly other: Directory
  readonly where?: string
}

/** What every implementation of `Directory` promises. */
export function runDirectorySuite(open: (t: Test) => Promise<Ways>): void {
  runRecordSuite(open)
  runWatchSuite(open)
}

function runRecordSuite(open: (t: Test) => Promise<Ways>): void {
  void t.test('a record is created once, and reads back as it was written', async (t) => {
    const { one, other } = await open(t)
    t.equal(await one.readRecord('main'), undefined)
    t.same(await one.createRecord('main', first), { version: 1, record: first })
    t.same(await other.createRecord('main', ruledBy(s2, 7)), { version: 1, record: first })
    t.same(await other.readRecord('main'), { version: 1, record: first })
    t.equal(await one.readRecord('another'), undefined)
    await one.createRecord('second', ruledBy(s2, 7))
    const all = [...(await other.readRecords())].map(([name, { record }]) => [name, record.primary])
    t.same(Object.fromEntries(all), { main: undefined, second: s2 })
  })

  void t.test('of two swaps of one version one wins, and both learn which', async (t) => {
    const { one, other } = await open(t)
    await one.createRecord('main', first)
    const [a, b] = await Promise.all([
      one.swapRecord('main', 1, ruledBy(s1, 1)),
      other.swapRecord('main', 1, ruledBy(s2, 1)),
    ])
    t.equal(a.version, 2)
    t.same(a, b)
    t.match(a.record.changedBy, /^s[12]-1$/)
    t.same(await one.swapRecord('main', 1, ruledBy(s3, 9)), a, 'a late swap changes nothing')
    t.equal((await other.swapRecord('main', 2, ruledBy(s3, 2))).record.primary, s3)
  })

  void t.test('of many swaps at once each version has one winner, and no change is lost', async (t) => {
    const { one, other } = await open(t)
    await one.createRecord('main', first)
    const ears = new Ears()
    const watch = other.watch('main', ears)
    t.teardown(() => watch.close())
    const rounds = 10
    const won = await Promise.all(
      [one, other, one, other, one].map(async (directory, writer) => {
        let wins = 0
        while (wins < rounds) {
          const present = await directory.readRecord('main')
          const changedBy = `${writer}-${wins}`
          const epochNext = epoch((present?.record.epoch ?? 0) + 1)
          const next = { ...first, epoch: epochNext, changedBy }
          const after = await directory.swapRecord('main', present?.version ?? 0, next)
          if (after.version === (present?.version ?? 0) + 1 && after.record.changedBy === changedBy) wins += 1
        }
        return wins
      }),
    )
    const all = won.reduce((sum, wins) => sum + wins, 0)
    const last = await one.readRecord('main')
    t.same([last?.version, last?.record.epoch], [all + 1, all], 'each win is one version')
    await until('the watch to have the last', () => ears.last?.version === all + 1)
    t.same(
      ears.versions,
      [...ears.versions].sort((a, b) => a - b),
      'in order',
    )
  })

  void t.test('nonsense is refused, whatever it is', async (t) => {
    const { one } = await open(t)
    await t.rejects(one.swapRecord('main', 1, first), DirectoryRefusal, 'no record yet')
    await t.rejects(one.readRecord('../x'), DirectoryRefusal)
    const bad = (fields: object): Promise<unknown> => one.createRecord('main', { ...first, ...fields })
    await t.rejects(bad({ primary: 's9' }), DirectoryRefusal)
    await t.rejects(bad({ members: ['S 1'] }), DirectoryRefusal)
    await t.rejects(bad({ onPartition: 'hope' }), DirectoryRefusal)
    const nonsense = [{ at: 'other', name: 'other' }, { at: '/a/../b' }, { name: 'c' }, { number: 0 }, { volume: 'X' }]
    for (const one of nonsense) await t.rejects(bad({ attached: [{ ...attached, ...one }] }), DirectoryRefusal)
    t.equal(await one.readRecord('main'), undefined, 'and leaves nothing behind')
  })
}

function runWatchSuite(open: (t: Test) => Promise<Ways>): void {
  void t.test('whoever watches all volumes gets their records, and each change', async (t) => {
    const { one, other } = await open(t)
    await one.createRecord('main', first)
    let known: ReadonlyMap<string, Versioned> = new Map()
    const watch = other.watchRecords((records) => {
      known = records
    })
    t.teardown(() => watch.close())
    await until('the first', () => known.get('main')?.version === 1)
    await one.createRecord('work', { ...ruledBy(s2, 3), attached: [attached] })
    await until('a new one', () => known.has('work'))
    t.same(known.get('work')?.record.attached, [attached])
    t.same(known.get('main'), { version: 1, record: first }, 'beside those known before')
    await one.swapRecord('main', 1, ruledBy(s1, 1))
    await until('a change', () => known.get('main')?.record.primary === s1)
  })

  void t.test('a watcher gets what is there and then every change', async (t) => {
    const { one, other } = await open(t)
    await one.createRecord('main', first)
    await one.attestDeath(s3, incarnation('s3-a'))
    const kept = one.advertise('main', advert(s1))
    const ears = new Ears()
    const watch = other.watch('main', ears)
    t.teardown(() => watch.close())
    t.same(ears.versions, [], 'never inside the call')
    await until('the present state', () => ears.versions.includes(1) && ears.names() === 's1')
    t.same(ears.deaths, ['s3 s3-a'])
    await one.swapRecord('main', 1, ruledBy(s1, 1))
    await one.attestDeath(s2, incarnation('s2-a'))
    await until('the changes', () => ears.last?.version === 2 && ears.deaths.length === 2)
    t.same(ears.last?.record, ruledBy(s1, 1))
    kept.close()
    await until('the advert to go', () => ears.names() === '')
  })

  void t.test('a closed watch tells nothing more', async (t) => {
    const { one } = await open(t)
    await one.createRecord('main', first)
    const closed = new Ears()
    const open_ = new Ears()
    one.watch('main', closed).close()
    const watch = one.watch('main', open_)
    t.teardown(() => watch.close())
    await one.swapRecord('main', 1, ruledBy(s1, 1))
    await until('the open one to hear', () => open_.last?.version === 2)
    t.same(closed.versions, [])
  })

  void t.test('adverts follow their providers', async (t) => {
    const { one, other } = await open(t)
    const ears = new Ears()
    const watch = other.watch('main', ears)
    t.teardown(() => watch.close())
    const a = one.advertise('main', advert(s1))
    const b = other.advertise('main', advert(s2, { role: 'mirror', load: 3 }))
    await until('both', () => ears.adverts?.length === 2)
    a.update({ role: 'primary' })
    b.update({ load: 4 })
    const role = (node: NodeId): Advert | undefined => ears.adverts?.find((one) => one.node === node)
    await until('the new role', () => role(s1)?.role === 'primary')
    await until('the new load', () => role(s2)?.load === 4)
    t.equal(role(s2)?.role, 'mirror')
    const c = one.advertise('main', advert(s1, { incarnation: incarnation('s1-b') }))
    await until('the newer incarnation', () => role(s1)?.incarnation === 's1-b')
    a.close()
    b.close()
    await until('the other to go', () => ears.names() === 's1')
    t.equal(role(s1)?.incarnation, 's1-b', 'the older one closes only its own')
    c.close()
    await until('nobody', () => ears.names() === '')
  })

  void t.test('a process that is stopped loses its advert, and has it again when it goes on', async (t) => {
    const { one, where } = await open(t)
    if (where === undefined) return t.pass('no other process can use it')
    const ears = new Ears()
    const watch = one.watch('main', ears)
    t.teardown(() => watch.close())
    const child = spawn(process.execPath, programArgs('advertiser', where, JSON.stringify(advert(s1))), {
      stdio: ['ignore', 'inherit', 'inherit'],
    })
    t.teardown(() => child.kill('SIGKILL'))
    await until('the advert', () => ears.names() === 's1')
    child.kill('SIGSTOP')
    await until('its end', () => ears.names() === '')
    child.kill('SIGCONT')
    await until('the advert again', () => ears.names() === 's1')
    child.kill('SIGKILL')
    return await until('its end with the process', () => ears.names() === '')
  })

  void t.test('an attested death ends the advert, and is told once', async (t) => {
    const { one, other } = await open(t)
    const ears = new Ears()
    const watch = other.watch('main', ears)
    t.teardown(() => watch.close())
    const kept = one.advertise('main', advert(s1))
    t.teardown(() => kept.close())
    await until('the advert', () => ears.names() === 's1')
    await other.attestDeath(s1, incarnation('s1-old'))
    await other.attestDeath(s1, incarnation('s1-a'))
    await other.attestDeath(s1, incarnation('s1-a'))
    await until('the advert to go', () => ears.names() === '')
    t.same(ears.deaths, ['s1 s1-old', 's1 s1-a'])
  })

  void t.test('deaths are remembered in a bounded number, the latest', async (t) => {
    const { one } = await open(t)
    for (let n = 0; n < 100; n += 1) await one.attestDeath(s1, incarnation(`s1-${n}`))
    const ears = new Ears()
    const watch = one.watch('main', ears)
    t.teardown(() => watch.close())
    await until('them', () => ears.deaths.includes('s1 s1-99'))
    t.equal(ears.deaths.length, 32)
  })
}
