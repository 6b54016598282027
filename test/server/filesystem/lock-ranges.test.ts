import fc from 'fast-check'
import t from 'tap'
import { excludes, isOwnedBy, type Locks, released, taken } from '../../../server/filesystem/lock-ranges.ts'
import type { Lock } from '../../../server/store/lock-records.ts'
import { holds } from '../../fixtures/random.ts'

// Stretches against a model that keeps, for each byte and owner, what it has there.

const bytesMax = 16

interface Step {
  readonly unlock: boolean
  readonly lock: Lock
}

const step: fc.Arbitrary<Step> = fc
  .record({
    unlock: fc.boolean(),
    session: fc.constantFrom(1n, 2n),
    owner: fc.constantFrom(7n, 8n),
    flock: fc.constantFrom(false, false, true),
    exclusive: fc.boolean(),
    handle: fc.constantFrom(3n, 4n),
    range: fc.tuple(fc.nat(bytesMax - 1), fc.nat(bytesMax - 1)),
  })
  .map(({ unlock, range: [a, b], ...rest }) => {
    const lock = { ...rest, start: BigInt(Math.min(a, b)), end: BigInt(Math.max(a, b)), pid: 5 }
    return { unlock, lock }
  })

const ownerName = ({ session, owner, flock }: Lock): string => `${session}/${owner}/${flock}`
const had = ({ exclusive, handle }: Lock): string => `${exclusive}/${handle}`

/** By owner, then by byte: what it has there. */
class Model {
  readonly owners = new Map<string, { readonly lock: Lock; readonly bytes: (string | undefined)[] }>()

  apply({ unlock, lock }: Step): 'done' | 'excluded' {
    if (!unlock && this.#isExcluded(lock)) return 'excluded'
    const own = this.owners.get(ownerName(lock)) ?? {
      lock,
      bytes: Array.from({ length: bytesMax }, (): string | undefined => undefined),
    }
    this.owners.set(ownerName(lock), own)
    own.bytes.fill(unlock ? undefined : had(lock), Number(lock.start), Number(lock.end) + 1)
    return 'done'
  }

  #isExcluded(lock: Lock): boolean {
    for (const [name, other] of this.owners) {
      if (name === ownerName(lock) || other.lock.flock !== lock.flock) continue
      for (let at = Number(lock.start); at <= Number(lock.end); at++) {
        const there = other.bytes[at]
        if (there !== undefined && (lock.exclusive || there.startsWith('true'))) return true
      }
    }
    return false
  }
}

function apply(locks: Locks, { unlock, lock }: Step): Locks | 'excluded' {
  if (unlock) return released(locks, lock, lock)
  return locks.some((other) => excludes(other, lock)) ? 'excluded' : taken(locks, lock)
}

function bytesOf(locks: Locks, owner: Lock): (string | undefined)[] {
  const bytes = Array.from({ length: bytesMax }, (): string | undefined => undefined)
  for (const lock of locks) {
    if (!isOwnedBy(lock, owner)) continue
    for (let at = Number(lock.start); at <= Number(lock.end); at++) {
      if (bytes[at] !== undefined) throw new Error(`an owner has byte ${at} twice`)
      bytes[at] = had(lock)
    }
  }
  return bytes
}

/** As few stretches as there can be. */
function fewest(bytes: readonly (string | undefined)[]): number {
  return bytes.filter((one, at) => one !== undefined && one !== bytes[at - 1]).length
}

function play(steps: readonly Step[], faulty: (step: Step) => Step = (one) => one): boolean {
  const model = new Model()
  let locks: Locks = []
  for (const one of steps) {
    const next = apply(locks, faulty(one))
    if ((next === 'excluded') !== (model.apply(one) === 'excluded')) return false
    if (next !== 'excluded') locks = next
    let stretches = 0
    for (const { lock, bytes } of model.owners.values()) {
      if (JSON.stringify(bytesOf(locks, lock)) !== JSON.stringify(Array.from(bytes))) return false
      stretches += fewest(Array.from(bytes))
    }
    if (locks.length !== stretches) return false
  }
  return true
}

const histories = fc.array(step, { maxLength: 30, size: 'max' })

void t.test('splitting, joining, upgrading and downgrading do what a map of bytes does', async (t) => {
  holds(
    t,
    3000,
    fc.property(histories, (steps) => play(steps)),
  )
})

void t.test('the model notices faults', async (t) => {
  const faults: Readonly<Record<string, (one: Step) => Step>> = {
    'one byte too few': (one) => ({
      ...one,
      lock: { ...one.lock, end: one.lock.end > one.lock.start ? one.lock.end - 1n : one.lock.end },
    }),
    'all share': (one) => ({ ...one, lock: { ...one.lock, exclusive: false } }),
    'one kind': (one) => ({ ...one, lock: { ...one.lock, flock: false } }),
    'one session': (one) => ({ ...one, lock: { ...one.lock, session: 1n } }),
  }
  for (const [name, faulty] of Object.entries(faults)) {
    const found = fc.check(
      fc.property(histories, (steps) => play(steps, faulty)),
      { numRuns: 500, seed: 1, endOnFailure: true },
    )
    t.ok(found.failed, name)
  }
})
