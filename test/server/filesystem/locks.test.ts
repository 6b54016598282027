import t from 'tap'
import { errnos, FsError } from '../../../proto/errno.ts'
import type { LockRange } from '../../../proto/generated/file-service.ts'
import { locksMax, locksOn } from '../../../server/filesystem/locks.ts'
import { type AnyOperation, operate } from '../../../server/filesystem/operate.ts'
import { reap } from '../../../server/filesystem/reap.ts'
import { locksKey } from '../../../server/store/keys.ts'
import { encodeLocks, lockEndMax } from '../../../server/store/lock-records.ts'
import { fourCallers } from '../../fixtures/file-calls.ts'

type Reply = ReturnType<typeof operate>['reply']

function world() {
  const { ann, volume } = fourCallers()
  const ino = ann.create(1n, 'f')
  const caller = (pid: number) => ({ ...ann.caller, pid })
  const run = (session: bigint, op: AnyOperation, pid = 7): Reply => {
    const { effects, reply } = operate(volume, caller(pid), op, { nowNs: 1n, session })
    volume.apply(effects)
    return reply
  }
  const range = (fields: Partial<LockRange>): LockRange => ({
    ino,
    owner: 1n,
    flock: false,
    exclusive: true,
    start: 0n,
    end: lockEndMax,
    ...fields,
  })
  const lock = (session: bigint, fields: Partial<LockRange>, handle = 10n, pid = 7): boolean => {
    const value = { range: range(fields), handle, wait: 0n }
    const reply = run(session, { $case: 'lock', value }, pid)
    return reply.$case === 'locked' && reply.value.granted
  }
  const get = (session: bigint, fields: Partial<LockRange>) => {
    const reply = run(session, { $case: 'getLock', value: { range: range(fields) } })
    return reply.$case === 'heldLock' ? reply.value : undefined
  }
  const unlock = (session: bigint, fields: Partial<LockRange>) =>
    run(session, { $case: 'unlock', value: { range: range(fields) } })
  return { ann, volume, ino, run, range, lock, get, unlock }
}

const errnoOf = (call: () => unknown): number | string => {
  try {
    call()
    return 'done'
  } catch (error) {
    return error instanceof FsError ? errnos[error.errno] : String(error)
  }
}

void t.test('owners are of their session; who has a lock says so with a pid only to its own host', async (t) => {
  const { lock, get, unlock } = world()
  t.ok(lock(1n, { start: 10n, end: 19n }, 10n, 42))
  t.notOk(lock(2n, { start: 19n, end: 19n }), 'the same number in another session is somebody else')
  t.ok(lock(2n, { start: 20n }))
  t.same(get(2n, { start: 0n }), { held: true, exclusive: true, start: 10n, end: 19n, pid: 0 })
  t.same(get(1n, { owner: 2n, end: 15n }), { held: true, exclusive: true, start: 10n, end: 19n, pid: 42 })
  t.match(get(1n, { end: 15n }), { held: false }, 'nobody stands in his own way')
  unlock(1n, { start: 0n, end: 14n })
  t.match(get(2n, { start: 0n }), { held: true, start: 15n, end: 19n })
})

void t.test('flock and fcntl know nothing of each other', async (t) => {
  const { lock } = world()
  t.ok(lock(1n, { flock: true }))
  t.ok(lock(2n, {}))
  t.notOk(lock(2n, { flock: true }))
})

void t.test('flock gives up what it converts, fcntl does not', async (t) => {
  const { lock, volume, ino } = world()
  for (const flock of [true, false]) {
    t.ok(lock(1n, { flock, exclusive: false }))
    t.ok(lock(2n, { flock, exclusive: false }))
    t.notOk(lock(1n, { flock }), 'another reads')
  }
  const held = locksOn(volume, ino).map(({ session, flock }) => `${session} ${flock ? 'flock' : 'fcntl'}`)
  t.same(held.sort(), ['1 fcntl', '2 fcntl', '2 flock'])
  t.ok(lock(2n, { flock: true }), 'so one of two that convert at once gets it')
})

void t.test('what was taken through an open file goes with it, whoever took it', async (t) => {
  const { lock, run, volume, ino } = world()
  t.ok(lock(1n, { start: 0n, end: 1n }, 10n))
  t.ok(lock(1n, { owner: 2n, start: 2n, end: 3n }, 10n))
  t.ok(lock(1n, { owner: 2n, start: 4n, end: 5n }, 11n))
  t.ok(lock(2n, { start: 6n, end: 7n }, 10n))
  run(1n, { $case: 'releaseLocks', value: { ino, handle: 10n } })
  t.same(
    locksOn(volume, ino).map(({ session, start }) => [session, start]),
    [
      [1n, 4n],
      [2n, 6n],
    ],
  )
  run(1n, { $case: 'releaseLocks', value: { ino, handle: 11n } })
  run(2n, { $case: 'releaseLocks', value: { ino, handle: 10n } })
  t.same(locksOn(volume, ino), [])
})

void t.test('what is unlocked twice, or of an inode that is gone, is nothing; locking that is ESTALE', async (t) => {
  const { ann, lock, unlock, get, run, range, volume, ino } = world()
  lock(1n, {})
  ann.unlink(1n, 'f')
  volume.apply(reap(volume, [ino]))
  t.same(locksOn(volume, ino), [], 'locks go with their inode')
  t.equal(
    errnoOf(() => unlock(1n, {})),
    'done',
  )
  t.equal(
    errnoOf(() => run(1n, { $case: 'releaseLocks', value: { ino, handle: 10n } })),
    'done',
  )
  t.equal(
    errnoOf(() => lock(1n, {})),
    errnos.ESTALE,
  )
  t.equal(
    errnoOf(() => get(1n, {})),
    errnos.ESTALE,
  )
  const leave = { range: range({}), wait: 1n, leave: true }
  t.equal(
    errnoOf(() => run(1n, { $case: 'awaitLock', value: leave })),
    'done',
  )
})

void t.test('a lock on no bytes, or beyond the last, is EINVAL', async (t) => {
  const { lock, run } = world()
  t.equal(
    errnoOf(() => lock(1n, { start: 2n, end: 1n })),
    errnos.EINVAL,
  )
  t.equal(
    errnoOf(() => lock(1n, { end: lockEndMax + 1n })),
    errnos.EINVAL,
  )
  t.equal(
    errnoOf(() => run(1n, { $case: 'lock', value: { range: undefined, handle: 0n, wait: 0n } })),
    errnos.EINVAL,
  )
})

void t.test('stretches of one inode have a limit; giving up and joining go on there', async (t) => {
  const { lock, unlock, volume, ino } = world()
  const one = { session: 1n, owner: 1n, flock: false, exclusive: true, handle: 10n, pid: 7 }
  const stretches = Array.from({ length: locksMax }, (_, at) => ({
    ...one,
    start: BigInt(2 * at),
    end: BigInt(2 * at),
  }))
  volume.values.set(locksKey(ino), encodeLocks(stretches))
  t.equal(
    errnoOf(() => lock(1n, { start: lockEndMax })),
    errnos.ENOLCK,
  )
  t.ok(lock(1n, { start: 1n, end: 1n }), 'three become one')
  t.ok(lock(1n, { start: lockEndMax }))
  unlock(1n, {})
  t.ok(lock(2n, {}))
})
