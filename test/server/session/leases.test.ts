import t from 'tap'
import { type Incarnation, type NodeId, seq } from '../../../proto/ids.ts'
import { standardTiming } from '../../../replication/ports.ts'
import type { LeaseHolder, RecallFrame } from '../../../server/session/lease-holder.ts'
import { Leases } from '../../../server/session/leases.ts'
import { type Place, Places } from '../../../server/session/places.ts'
import { Touches } from '../../../server/session/touches.ts'

interface Table {
  now: number
  leaseLeft: number
  readonly leases: Leases<string>
  readonly asked: (RecallFrame & { readonly session: string })[]
  /** A session's stream, with leases for a while. */
  readonly holder: (session: string, attach?: bigint) => LeaseHolder<string>
}

function table(leasesMax?: number): Table {
  const asked: (RecallFrame & { readonly session: string })[] = []
  const made: Table = {
    now: 1000,
    leaseLeft: Number.POSITIVE_INFINITY,
    asked,
    leases: new Leases<string>(
      {
        now: () => made.now,
        timing: standardTiming,
        leaseLeft: () => made.leaseLeft,
        ...(leasesMax !== undefined && { leasesMax }),
      },
      seq(10),
    ),
    holder: (session, attach = 1n) => {
      const holder = made.leases.attach(session, attach, (recall) => asked.push({ session, ...recall }))
      if (holder === undefined) throw new Error('there is a later one')
      holder.entitled = true
      made.leases.prolong(holder)
      return holder
    },
  }
  return made
}

const only = (...inos: bigint[]): ReadonlySet<bigint> => new Set(inos)

void t.test('an entry is recalled when everybody asked has answered, one message for many entries', async (t) => {
  const { leases, asked, holder } = table()
  const [a, b] = [holder('a'), holder('b')]
  t.same(leases.grant(a, [1n, 2n], seq(10)), [1n, 2n])
  t.same(leases.grant(b, [2n, 3n], seq(10)), [2n, 3n])
  leases.appended(seq(11), only(1n, 2n), undefined)
  leases.appended(seq(12), only(9n), undefined)
  leases.appended(seq(13), only(3n), undefined)
  t.equal(leases.recalled, 10, 'also before anybody was told')
  leases.flush()
  t.same(
    asked.map(({ session, inos, position, everything }) => [session, inos, position, everything]),
    [
      ['a', [1n, 2n], 11, false],
      ['b', [2n, 3n], 13, false],
    ],
  )
  leases.answered(a, 1n)
  t.equal(leases.recalled, 10)
  leases.answered(b, 1n)
  t.ok(leases.recalled > 13)
  t.same(leases.counts(), { holders: 0, leases: 0, recalls: 2, ranOut: 0 })
})

void t.test('nothing is leased that an entry after its state touches, nor what nobody knows any more', async (t) => {
  const { leases, holder } = table()
  const a = holder('a')
  leases.appended(seq(11), only(1n), undefined)
  t.same(leases.grant(a, [1n, 2n], seq(10)), [2n])
  t.same(leases.grant(a, [1n], seq(11)), [1n])
  t.same(leases.grant(a, [5n], seq(9)), [], 'before the journal was opened')
  leases.appended(seq(12), only(7n), undefined)
  leases.cut(seq(11))
  t.same(leases.grant(a, [7n], seq(10)), [])
  t.same(leases.grant(a, [7n], seq(11)), [7n])
})

void t.test('who asked for a change keeps what it has seen to itself, and nobody else does', async (t) => {
  const { leases, asked, holder } = table()
  for (const name of ['a', 'b']) leases.grant(holder(name), [1n, 2n], seq(10))
  leases.appended(seq(11), only(1n, 2n), { session: 'a', invalidated: [1n] })
  leases.flush()
  t.same(
    asked.map(({ session, inos }) => [session, inos]).sort(([one = ''], [other = '']) => (one < other ? -1 : 1)),
    [
      ['a', [2n]],
      ['b', [1n, 2n]],
    ],
  )
})

void t.test('leases end within the own lease, and are not prolonged for who does not answer', async (t) => {
  const made = table()
  const { leases, asked } = made
  made.leaseLeft = 500
  const a = made.holder('a')
  t.ok(a.until <= 1000 + 500, 'counted as the giver counts')
  made.leaseLeft = 1500
  const leaseMs = leases.prolong(a)
  t.ok(leaseMs > 1000 && leaseMs * 1.05 + 50 <= 1500, `${leaseMs} ms`)
  leases.grant(a, [1n], seq(10))
  leases.appended(seq(11), only(1n), undefined)
  leases.flush()
  made.now += 200
  t.ok(leases.prolong(a) > 0, 'it has a moment')
  made.now += 200
  t.equal(leases.prolong(a), 0)
  made.now = a.until + 1
  leases.onTick()
  t.ok(leases.recalled > 11, 'its time is over')
  leases.flush()
  const last = asked.at(-1)
  t.ok(last?.everything)
  leases.answered(a, last?.number ?? 0n)
  t.equal(leases.prolong(a), 0)
  t.equal(leases.counts().ranOut, 1)
  made.now += 29_000
  t.equal(leases.prolong(a), 0, 'it gets none for a while')
  made.now += 2_000
  t.ok(leases.prolong(a) > 0)
  t.same(leases.grant(a, [1n], seq(11)), [1n])
  leases.appended(seq(12), only(1n), undefined)
  leases.flush()
  made.now = a.until + 1
  leases.onTick()
  made.now += 40_000
  t.equal(leases.prolong(a), 0, 'then twice as long')
})

void t.test('who is idle and silent runs out of leases, and is not punished', async (t) => {
  const made = table()
  const { leases } = made
  const a = made.holder('a')
  leases.grant(a, [1n], seq(10))
  made.now = a.until + 1
  leases.appended(seq(11), only(1n), undefined)
  t.ok(leases.recalled > 11, 'there is nobody to wait for')
  leases.flush()
  t.same([made.asked.length, made.asked[0]?.everything], [1, true])
  leases.answered(a, 1n)
  t.ok(leases.prolong(a) > 0)
  t.equal(leases.counts().ranOut, 0)
})

void t.test('a stream that is gone is waited for, until its time or its next hello', async (t) => {
  const made = table()
  const { leases, asked } = made
  const [a, b] = [made.holder('a'), made.holder('b')]
  for (const holder of [a, b]) {
    leases.grant(holder, [1n], seq(10))
    leases.detach(holder)
  }
  leases.appended(seq(11), only(1n), undefined)
  leases.flush()
  t.same(asked, [], 'nobody can be asked')
  t.equal(leases.recalled, 10)
  leases.movedOn('a', 1n)
  t.equal(leases.recalled, 10, 'that was its last hello')
  leases.movedOn('a', 2n)
  t.equal(leases.recalled, 10, 'b remains')
  t.equal(
    leases.attach('b', 1n, () => {}),
    undefined,
    'a hello that is late',
  )
  made.now = b.until + 1
  leases.onTick()
  t.ok(leases.recalled > 11)
  t.equal(leases.counts().ranOut, 0, 'it could not answer')
})

void t.test('the table is bounded: the oldest are asked back, and entries meanwhile wait', async (t) => {
  const { leases, asked, holder } = table(16)
  const a = holder('a')
  for (let ino = 1n; ino <= 17n; ino++) leases.grant(a, [ino], seq(10))
  leases.flush()
  t.same(
    asked.map(({ inos, position }) => [inos, position]),
    [[[1n, 2n], 11]],
  )
  t.equal(leases.counts().leases, 15)
  leases.appended(seq(11), only(1n), undefined)
  t.equal(leases.recalled, 10)
  leases.answered(a, 1n)
  t.ok(leases.recalled > 11)
})

void t.test('when the journal begins anew everything is asked back', async (t) => {
  const { leases, asked, holder } = table()
  const a = holder('a')
  leases.grant(a, [1n, 2n], seq(10))
  leases.restarted(seq(20))
  leases.flush()
  t.ok(asked[0]?.everything)
  t.equal(leases.recalled, 19)
  t.same(leases.grant(a, [3n], seq(19)), [])
  leases.answered(a, 1n)
  t.ok(leases.recalled > 20)
})

void t.test('leases are for who the volume knows to be here', async (t) => {
  const { leases } = table()
  const holder = leases.attach('a', 1n, () => {})
  if (holder === undefined) throw new Error('there is a later one')
  t.equal(leases.prolong(holder), 0)
  t.same(leases.grant(holder, [1n], seq(10)), [])
})

void t.test('of many touched inodes the oldest are forgotten, and with them all that was read before', async (t) => {
  const touches = new Touches(seq(0))
  for (let at = 1; at <= 100_010; at++) touches.note(seq(at), [BigInt(at)])
  t.notOk(touches.untouchedSince(seq(9), 5n))
  t.ok(touches.untouchedSince(seq(10), 5n))
  t.notOk(touches.untouchedSince(seq(100_009), 100_010n))
})

void t.test('a session may have leases where the journal or a later hello says, and nowhere else', async (t) => {
  const place = (name: string, attach: bigint): Place => ({
    node: name as NodeId,
    incarnation: `${name}#1` as Incarnation,
    attach,
  })
  const places = new Places<string>()
  const has = (name: string): boolean => places.has(place(name, 0n))
  places.hear('a', place('s1', 1n))
  t.notOk(has('s1'), 'it has leases nowhere yet')
  places.note('a', place('s1', 1n))
  places.note('b', place('s1', 1n))
  places.hear('a', place('s2', 2n))
  t.ok(has('s1') && has('s2'))
  places.hear('b', place('s3', 3n))
  t.notOk(has('s1'))
  places.hear('b', place('s1', 2n))
  t.notOk(has('s1'), 'an old hello that came late')
  places.note('b', place('s2', 2n))
  t.ok(has('s3'), 'what was heard is later')
  places.reset([['b', place('s2', 2n)]])
  t.same([has('s1'), has('s2'), has('s3')], [false, false, true])
  places.note('b', undefined)
  t.same([...places.providers()], [])
})
