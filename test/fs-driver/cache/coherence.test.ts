import t from 'tap'
import type { Held } from '../../../fs-driver/cache/lease-cache.ts'
import type { FileCall, Outcome } from '../../../fs-driver/router/file-client.ts'
import type { Caller } from '../../../proto/generated/file-service.ts'
import { attributesOf } from '../../fixtures/attributes.ts'
import { calls } from '../../fixtures/calls.ts'
import { quietCaches } from '../../fixtures/quiet-caches.ts'

const caller: Caller = { uid: 0, gid: 0, groups: [], pid: 1 }
const lookup = (name: string): FileCall => ({ $case: 'lookup', value: { parent: 1n, name: Buffer.from(name) } })
const getattr = (ino: bigint): FileCall => ({ $case: 'getattr', value: { ino } })
const recall = (...inos: bigint[]) => ({ number: 1n, inos, position: 0n, everything: false })

const entry = (ino: bigint): Outcome => ({
  kind: 'result',
  result: { $case: 'entry', value: { attributes: attributesOf(ino) } },
})
const done: Outcome = { kind: 'result', result: { $case: 'done', value: {} } }

/** Caches with a clock that is put by hand, and leases until 1500 ms. */
function bench({
  knows = true,
  limits,
}: {
  knows?: boolean
  limits?: { leasesMax: number; weightMax: number; leaseWeightMax: number }
} = {}) {
  const clock = { ms: 0 }
  const files = { writing: false, cached: false }
  const told: string[] = []
  const { coherence } = quietCaches({
    kernel: {
      forgetNames: () => void told.push('names'),
      forgetAttributes: (ino) => {
        told.push(`attributes ${ino}`)
        return knows
      },
      forgetPages: async (ino) => void told.push(`pages ${ino}`),
    },
    open: { isOpenForWriting: () => files.writing, isOpenCached: () => files.cached },
    nowMs: () => clock.ms,
    ...(limits === undefined ? {} : { limits }),
  })
  coherence.onProlonged(1_500)
  const hear = (call: FileCall, outcome: Outcome, ...leased: bigint[]): Held =>
    coherence.heard(call, outcome, { leased, caller, change: undefined })
  return { coherence, clock, files, told, hear }
}

void t.test(
  'the kernel may keep what is leased until shortly before the leases end, and no longer than a while',
  async (t) => {
    const { coherence, clock, hear } = bench()
    const held = hear(lookup('f'), entry(7n), 1n, 7n)
    t.equal(coherence.nameMs(1n, held), 1_300)
    t.equal(coherence.attributesMs(7n, held), 1_300)
    t.equal(coherence.attributesMs(8n, held), 0, 'the answer did not lease it')
    clock.ms = 1_000
    t.equal(coherence.attributesMs(7n, held), 400)
    clock.ms = 1_400
    t.equal(coherence.attributesMs(7n, held), 0)
    t.equal(coherence.answer(getattr(7n), caller), undefined)
    coherence.onProlonged(3_000)
    t.equal(coherence.answer(getattr(7n), caller), undefined, 'what has run out is not brought back')
    t.equal(coherence.attributesMs(7n, held), 0)
  },
)

void t.test('after a recall nothing old is answered or told, and the kernel has let go', async (t) => {
  const { coherence, clock, told, hear } = bench()
  const held = hear(lookup('f'), entry(7n), 1n, 7n)
  coherence.nameMs(1n, held)
  coherence.attributesMs(7n, held)
  await coherence.onRecall(recall(7n))
  t.same(told.splice(0), ['attributes 7'])
  t.equal(coherence.answer(lookup('f'), caller), undefined)
  t.equal(coherence.attributesMs(7n, held), 0)
  await coherence.onRecall(recall(1n))
  t.same(told.splice(0), ['names'])
  await coherence.onRecall(recall(1n, 7n))
  t.same(told, [], 'there is nothing left')
  const again = hear(lookup('f'), entry(7n), 1n, 7n)
  t.ok(coherence.answer(lookup('f'), caller), 'leased anew')
  t.equal(coherence.attributesMs(7n, again), 0, 'but not told on for a while')
  clock.ms = 600
  t.ok(coherence.attributesMs(7n, again) > 0)
})

void t.test('an answer from before a recall that is told after it is told for no time', async (t) => {
  const { coherence, clock, hear } = bench()
  const before = hear(lookup('f'), entry(7n), 1n, 7n)
  await coherence.onRecall(recall(1n, 7n))
  hear(lookup('f'), entry(7n), 1n, 7n)
  clock.ms = 600
  t.equal(coherence.attributesMs(7n, before), 0)
  t.equal(coherence.nameMs(1n, before), 0)
})

void t.test('a recall waits for an inode that may be on its way into the kernel', async (t) => {
  const { coherence, told, hear } = bench({ knows: false })
  coherence.attributesMs(7n, hear(getattr(7n), entry(7n), 7n))
  coherence.attributesMs(7n, hear(lookup('f'), entry(7n), 1n, 7n))
  await coherence.onRecall(recall(7n))
  t.same(told, ['attributes 7', 'attributes 7'])
})

void t.test('a change of our own takes back what it can change before it is sent', async (t) => {
  const { coherence, clock, told, hear } = bench()
  const held = hear(lookup('f'), entry(7n), 1n, 7n)
  const other = hear(lookup('g'), entry(8n), 1n, 8n)
  coherence.nameMs(1n, held)
  coherence.attributesMs(7n, held)
  coherence.attributesMs(8n, other)
  const { change, invalidated } = coherence.begin(calls.unlink('f'))
  t.same(told.splice(0), ['names', 'attributes 7'])
  t.same(invalidated, [1n, 7n])
  t.equal(coherence.answer(lookup('f'), caller), undefined)
  t.ok(coherence.answer(lookup('g'), caller), 'other names stay')
  t.equal(coherence.nameMs(1n, other), 0)
  t.ok(coherence.attributesMs(8n, other) > 0)
  coherence.heard(calls.unlink('f'), done, { leased: [1n], caller, change })
  t.equal(coherence.answer(lookup('f'), caller)?.outcome.kind, 'errno', 'and that it is gone is known')
  t.equal(coherence.nameMs(1n, other), 0, 'where changes are made no names are told')
  clock.ms = 1_000
  t.same(coherence.begin(calls.unlink('g')).invalidated, [1n, 8n])
  t.same(told, ['attributes 8'], 'so that the next one costs no epoch')
})

void t.test('ACLs stay in the kernel until they are taken back; without a lease at once', async (t) => {
  const { coherence, clock, told, hear } = bench()
  const held = hear(getattr(7n), entry(7n), 7n)
  coherence.gaveAcl(7n, held)
  coherence.gaveAcl(8n, held)
  t.same(told.splice(0), ['attributes 8'])
  clock.ms = 1_000
  coherence.onProlonged(10_000)
  clock.ms = 9_000
  await coherence.onRecall(recall(7n))
  t.same(told, ['attributes 7'])
})

void t.test('contents that are in the kernel are recalled like anybody’s', async (t) => {
  const { coherence, files, told, hear } = bench()
  const read: FileCall = { $case: 'read', value: { ino: 7n, offset: 0n, length: 10 } }
  const data: Outcome = { kind: 'result', result: { $case: 'data', value: Buffer.from('x') } }
  const range = coherence.readBegan(7n, 0n, 10)
  coherence.readEnds(7n, range, { held: hear(read, data, 7n), cached: true, filled: true })
  t.same(coherence.begin(calls.write(7n, 'y')).invalidated, [])
  t.same(coherence.begin(calls.chmod(7n, 0o600)).invalidated, [7n])
  await coherence.onRecall(recall(7n))
  t.same(told, ['pages 7'])
  t.same(coherence.begin(calls.write(7n, 'y')).invalidated, [7n])
  files.cached = true
  t.same(coherence.begin(calls.write(7n, 'y')).invalidated, [], 'a descriptor may fill them at any time')
})

void t.test('pages are kept from open to open under one lease, and none are filled beside a writer', async (t) => {
  const { coherence, clock, files, hear } = bench()
  const open: FileCall = { $case: 'open', value: { ino: 7n, flags: 0, killPrivileges: false } }
  const opened: Outcome = { kind: 'result', result: { $case: 'attributes', value: attributesOf(7n) } }
  const held = hear(open, opened, 7n)
  t.equal(coherence.pagesFor(7n, held), 'fresh')
  coherence.readEnds(7n, coherence.readBegan(7n, 0n, 10), { held, cached: true, filled: true })
  t.equal(coherence.pagesFor(7n, held), 'keep')
  files.writing = true
  t.equal(coherence.pagesFor(7n, held), 'none')
  files.writing = false
  await coherence.onRecall(recall(7n))
  t.equal(coherence.pagesFor(7n, held), 'none')
  clock.ms = 600
  t.equal(coherence.pagesFor(7n, hear(open, opened, 7n)), 'fresh')
  t.equal(coherence.pagesFor(7n, hear(open, opened)), 'none')
})

void t.test('pages that were read under no lease are dropped at once', async (t) => {
  const { coherence, told } = bench()
  coherence.readEnds(7n, coherence.readBegan(7n, 0n, 10), { held: new Map(), cached: true, filled: true })
  t.same(told, ['pages 7'])
})

void t.test('a read without a lease is asked again, until the inode is recalled', async (t) => {
  const { coherence } = bench()
  t.equal(await coherence.isToBeAskedAgain(7n, new Map(), 0), true)
  const waiting = coherence.isToBeAskedAgain(7n, new Map(), 0)
  await coherence.onRecall(recall(7n))
  t.equal(await waiting, false)
})

void t.test('what is given up is told with the next heartbeat; until it is heard no answer leases it', async (t) => {
  const { coherence, hear, told } = bench({ limits: { leasesMax: 2, weightMax: 100, leaseWeightMax: 100 } })
  for (const ino of [7n, 8n, 9n]) coherence.attributesMs(ino, hear(lookup(`f${ino}`), entry(ino), ino))
  await new Promise((resolve) => setImmediate(resolve))
  t.same(told, ['attributes 7'])
  t.same(coherence.takeDropped(), [7n])
  hear(lookup('f7'), entry(7n), 7n)
  t.equal(coherence.answer(getattr(7n), caller), undefined)
  coherence.onDroppedHeard()
  hear(lookup('f7'), entry(7n), 7n)
  t.ok(coherence.answer(getattr(7n), caller))
})

void t.test('without the stream, or beyond the end of its leases, all is forgotten at once', async (t) => {
  for (const lose of ['stream', 'time'] as const) {
    const { coherence, clock, told, hear } = bench()
    const held = hear(lookup('f'), entry(7n), 1n, 7n)
    coherence.nameMs(1n, held)
    coherence.attributesMs(7n, held)
    coherence.readEnds(7n, coherence.readBegan(7n, 0n, 10), { held, cached: true, filled: true })
    if (lose === 'time') clock.ms = 1_401
    if (lose === 'time') coherence.onTick()
    else await coherence.onDetached()
    await new Promise((resolve) => setImmediate(resolve))
    t.same(told, ['names', 'attributes 7', 'pages 7'], lose)
    t.equal(coherence.answer(getattr(7n), caller), undefined)
    t.equal(coherence.attributesMs(7n, held), 0)
  }
})
