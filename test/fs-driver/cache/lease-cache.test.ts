import fc from 'fast-check'
import t from 'tap'
import { type Changing, LeaseCache, type LeaseCacheLimits } from '../../../fs-driver/cache/lease-cache.ts'
import type { FileCall, Outcome } from '../../../fs-driver/router/file-client.ts'
import type { Caller } from '../../../proto/generated/file-service.ts'
import { routeOf } from '../../../proto/route.ts'
import { setattr } from '../../fixtures/calls.ts'
import { LeasingServer } from './leasing-server.ts'

const root = 1n
const clients = 2
const callers: readonly Caller[] = [
  { uid: 0, gid: 0, groups: [], pid: 1 },
  { uid: 7, gid: 7, groups: [8], pid: 2 },
]

/** One step of a script: a client asks, or hears what waits for it. */
type Step =
  | { readonly do: 'ask'; readonly client: number; readonly caller: number; readonly call: FileCall }
  | { readonly do: 'hear'; readonly client: number }

interface UnderWay {
  readonly call: FileCall
  readonly caller: Caller
  readonly change: Changing | undefined
}

/** Clients with a cache each, and their server. */
class World {
  readonly server = new LeasingServer(clients)
  readonly caches: readonly LeaseCache[]
  readonly #underWay = new Map<number, UnderWay>()
  #lastId = 0

  constructor(limits?: LeaseCacheLimits) {
    this.caches = Array.from({ length: clients }, () => new LeaseCache(limits))
  }

  step(step: Step): void {
    if (step.do === 'hear') return this.#hear(step.client, 1)
    const cache = this.cache(step.client)
    const caller = callers[step.caller] ?? nobody
    const { call } = step
    if (cache.answer(call, caller) !== undefined) return
    const id = ++this.#lastId
    const change = routeOf(call) === 'change' ? cache.begin(call) : undefined
    this.#underWay.set(id, { call, caller, change })
    const invalidated = change === undefined ? [] : [...change.inos]
    const letGo = (client: number) => this.#hear(client, this.server.told(client).length)
    this.server.execute(step.client, id, call, { caller, invalidated, letGo })
  }

  cache(client: number): LeaseCache {
    const cache = this.caches[client]
    if (cache === undefined) throw new Error(`there is no client ${client}`)
    return cache
  }

  #hear(client: number, count: number): void {
    for (const told of this.server.told(client).splice(0, count)) {
      if (told.kind === 'recall') {
        this.cache(client).drop(told.inos)
        continue
      }
      const asked = this.#underWay.get(told.id)
      if (asked === undefined) throw new Error('an answer to nothing')
      this.#underWay.delete(told.id)
      this.cache(client).onAnswer(asked.call, told.outcome, { ...asked, leased: told.leased })
      this.cache(client).evict()
    }
  }
}

const nobody: Caller = { uid: 99, gid: 99, groups: [], pid: 0 }
/** What kernels ask after without being asked. */
const kernelsNames = ['security.capability', 'system.posix_acl_access'].map((name) => Buffer.from(name))
const names = ['a', 'b', 'c'].map((name) => Buffer.from(name))
const inos = [root, 2n, 3n, 4n, 5n]

const name = fc.constantFrom(...names)
const ino = fc.constantFrom(...inos)
const callArbitrary: fc.Arbitrary<FileCall> = fc.oneof(
  fc.record({ parent: ino, name }).map((value): FileCall => ({ $case: 'lookup', value })),
  ino.map((ino): FileCall => ({ $case: 'getattr', value: { ino } })),
  fc
    .record({ ino, count: fc.integer({ min: 1, max: 6 }), attributes: fc.boolean() })
    .map((value): FileCall => ({ $case: 'readdir', value: { ...value, cookie: 0n } })),
  fc.record({ ino, name }).map(({ ino, name }): FileCall => ({ $case: 'getxattr', value: { ino, name: user(name) } })),
  ino.map((ino): FileCall => ({ $case: 'listxattr', value: { ino } })),
  ino.map((ino): FileCall => ({ $case: 'readlink', value: { ino } })),
  fc
    .record({ ino, flags: fc.constantFrom(0, 1, 2, 0o1001) })
    .map(({ ino, flags }): FileCall => ({ $case: 'open', value: { ino, flags, killPrivileges: false } })),
  fc
    .record({ parent: ino, name })
    .map(({ parent, name }): FileCall => ({ $case: 'mkdir', value: { parent, name, mode: 0o755, umask: 0 } })),
  fc.record({ parent: ino, name }).map(
    ({ parent, name }): FileCall => ({
      $case: 'create',
      value: { parent, name, mode: 0o644, umask: 0, flags: 0o101 },
    }),
  ),
  fc
    .record({ parent: ino, name })
    .map(({ parent, name }): FileCall => ({ $case: 'symlink', value: { parent, name, target: Buffer.from('x') } })),
  fc.record({ parent: ino, name }).map((value): FileCall => ({ $case: 'unlink', value })),
  fc.record({ parent: ino, name }).map((value): FileCall => ({ $case: 'rmdir', value })),
  fc.record({ ino, parent: ino, name }).map((value): FileCall => ({ $case: 'link', value })),
  fc
    .record({ parent: ino, name, newParent: ino, newName: name, flags: fc.constantFrom(0, 1, 2) })
    .map((value): FileCall => ({ $case: 'rename', value })),
  fc.record({ ino, mode: fc.constantFrom(0o600, 0o644, 0o755) }).map(({ ino, mode }) => chmod(ino, mode)),
  ino.map(
    (ino): FileCall => ({
      $case: 'write',
      value: { ino, offset: 0n, data: Buffer.from('data'), append: true, killPrivileges: false },
    }),
  ),
  fc
    .record({
      ino,
      name: fc.oneof(
        name.map((one) => user(one)),
        fc.constant(Buffer.from('security.capability')),
      ),
    })
    .map(
      ({ ino, name }): FileCall => ({
        $case: 'setxattr',
        value: { ino, name, value: Buffer.from('v'), flags: 0 },
      }),
    ),
  fc
    .record({ ino, name })
    .map(({ ino, name }): FileCall => ({ $case: 'removexattr', value: { ino, name: user(name) } })),
)

const user = (name: Buffer): Buffer => Buffer.concat([Buffer.from('user.'), name])

const chmod = (ino: bigint, mode: number): FileCall => setattr(ino, { mode })

const client = fc.nat({ max: clients - 1 })
const stepArbitrary: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({ do: fc.constant('ask' as const), client, caller: fc.nat({ max: 1 }), call: callArbitrary }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('hear' as const), client }) },
)

/** Everything that may be asked about this small tree. */
const questions: readonly FileCall[] = inos.flatMap((ino): FileCall[] => [
  { $case: 'getattr', value: { ino } },
  { $case: 'readlink', value: { ino } },
  { $case: 'listxattr', value: { ino } },
  ...names.map((name): FileCall => ({ $case: 'lookup', value: { parent: ino, name } })),
  ...names.map((name): FileCall => ({ $case: 'getxattr', value: { ino, name: user(name) } })),
  ...kernelsNames.map((name): FileCall => ({ $case: 'getxattr', value: { ino, name } })),
  ...[0, 1, 2].map((flags): FileCall => ({ $case: 'open', value: { ino, flags, killPrivileges: false } })),
  ...[true, false].map(
    (attributes): FileCall => ({ $case: 'readdir', value: { ino, cookie: 0n, count: 9, attributes } }),
  ),
])

/** Fewer entries than asked for, or entries without attributes, are an answer too. */
function agrees(cached: Outcome, true_: Outcome): boolean {
  if (cached.kind === 'errno' || true_.kind === 'errno') return same(cached, true_)
  const [mine, yours] = [cached.result, true_.result]
  if (mine.$case !== 'listing' || yours.$case !== 'listing') return same(mine, yours)
  const { entries, end } = mine.value
  const all = yours.value.entries
  if (end !== (yours.value.end && entries.length === all.length)) return false
  return entries.every((entry, index) => {
    const other = all[index]
    const attributes = entry.attributes === undefined ? undefined : other?.attributes
    return same(entry, { ...other, attributes })
  })
}

const same = (a: unknown, b: unknown): boolean => JSON.stringify(a, plain) === JSON.stringify(b, plain)
/** `bare` is said or not; what it says the questions after attributes find out. */
const plain = (key: string, value: unknown): unknown =>
  typeof value === 'bigint' ? `${value}n` : key === 'bare' ? undefined : value

function check(world: World): number {
  let answers = 0
  for (const cache of world.caches) {
    for (const call of questions) {
      for (const caller of callers) {
        const cached = cache.answer(call, caller)
        if (cached === undefined) continue
        answers++
        const now = world.server.look(
          call,
          call.$case === 'open' || call.$case === 'listxattr' ? caller : (callers[0] ?? nobody),
        )
        if (!agrees(cached.outcome, now)) {
          throw new Error(`${JSON.stringify(call, plain)}: ${JSON.stringify([cached.outcome, now], plain)}`)
        }
      }
    }
  }
  return answers
}

void t.test('what is answered from a lease is what the volume says at that moment', async (t) => {
  let answers = 0
  const steps = fc.array(stepArbitrary, { minLength: 20, maxLength: 80, size: 'max' })
  fc.assert(
    fc.property(steps, (steps) => {
      const world = new World()
      for (const step of steps) {
        world.step(step)
        answers += check(world)
      }
    }),
    { numRuns: 600 },
  )
  t.ok(answers > 10_000, `${answers} answers were compared`)
})

void t.test('the same with so little room that something is always given up', async (t) => {
  const limits = { leasesMax: 3, weightMax: 8, leaseWeightMax: 5 }
  fc.assert(
    fc.property(fc.array(stepArbitrary, { minLength: 20, maxLength: 80, size: 'max' }), (steps) => {
      const world = new World(limits)
      for (const step of steps) {
        world.step(step)
        check(world)
        for (const cache of world.caches) {
          if (cache.size > limits.leasesMax || cache.weight > limits.weightMax)
            throw new Error('it is beyond its bounds')
        }
      }
    }),
    { numRuns: 200 },
  )
  t.pass()
})

void t.test('weight is what is kept', async (t) => {
  const world = new World()
  const hear = () => world.step({ do: 'hear', client: 0 })
  const ask = (call: FileCall) => {
    world.step({ do: 'ask', client: 0, caller: 0, call })
    hear()
  }
  for (const name of names) ask({ $case: 'mkdir', value: { parent: root, name, mode: 0o755, umask: 0 } })
  ask({ $case: 'readdir', value: { ino: root, cookie: 0n, count: 100, attributes: true } })
  const cache = world.cache(0)
  t.ok(cache.weight >= 8, `${cache.weight}`)
  t.equal(
    cache.answer({ $case: 'lookup', value: { parent: root, name: Buffer.from('nobody') } }, nobody)?.outcome.kind,
    'errno',
  )
  cache.dropAll()
  t.equal(cache.weight, 0)
  t.equal(cache.size, 0)
})
