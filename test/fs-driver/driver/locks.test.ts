import t from 'tap'
import { HeldLocks } from '../../../fs-driver/driver/held-locks.ts'
import { Interrupt } from '../../../fs-driver/driver/interrupt.ts'
import { LockCalls, type LockPlan } from '../../../fs-driver/driver/locks.ts'
import type { CallIdentity, FileCall, FileResult } from '../../../fs-driver/router/file-client.ts'
import { errnos, FsError } from '../../../proto/errno.ts'
import type { LockRange } from '../../../proto/generated/file-service.ts'

const caller = { uid: 0, gid: 0, groups: [], pid: 1 }
const lastByte = 2n ** 63n - 1n
const range = (fields: Partial<LockRange> = {}): LockRange => ({
  ino: 7n,
  owner: 1n,
  flock: false,
  exclusive: true,
  start: 0n,
  end: lastByte,
  ...fields,
})
const lock = (fields: Partial<LockRange> = {}, waits = true): LockPlan => ({
  kind: 'lock',
  range: range(fields),
  handle: 20n,
  waits,
})
const unlock = (fields: Partial<LockRange> = {}): LockPlan => ({ kind: 'unlock', range: range(fields) })
const flush = (owner = 1n): LockPlan => ({ kind: 'flush', ino: 7n, owner })
const release = (fh = 20n): LockPlan => ({ kind: 'release', ino: 7n, fh })
const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))
const done: FileResult = { $case: 'done', value: {} }
const granted = (yes: boolean): FileResult => ({ $case: 'locked', value: { granted: yes } })
const error = (errno: 'EAGAIN' | 'EDEADLK' | 'EIO'): FsError => new FsError(errno, 'a test')

interface Asked {
  readonly call: FileCall
  readonly how: CallIdentity
  readonly answer: (result: FileResult | FsError) => Promise<void>
}

/** Lock calls, and the servers that they go to: this test. */
function bench() {
  const held = new HeldLocks()
  const asked: Asked[] = []
  const client = {
    call: (call: FileCall, _caller: object, how: CallIdentity) =>
      new Promise<FileResult>((resolve, reject) => {
        const answer = async (result: FileResult | FsError): Promise<void> => {
          if (result instanceof FsError) reject(result)
          else resolve(result)
          await settled()
        }
        asked.push({ call, how, answer })
      }),
  }
  const locks = new LockCalls(client, held)
  const begin = (plan: LockPlan, signal = new Interrupt()): { came: unknown } => {
    const result: { came: unknown } = { came: undefined }
    locks.perform(plan, { unique: 40n, caller, signal }).then(
      (body) => (result.came = body.kind === 'error' ? body.errno : body.kind),
      (failure: unknown) => (result.came = failure instanceof FsError ? failure.errno : failure),
    )
    return result
  }
  const next = async (): Promise<Asked> => {
    await settled()
    const one = asked.shift()
    if (one === undefined) throw new Error('nothing was asked')
    return one
  }
  return { held, locks, asked, begin, next }
}

void t.test('a wait asks again until it has the turn, then tries under its number', async (t) => {
  const { begin, next, asked } = bench()
  const locking = begin(lock())
  const first = await next()
  t.match(first, { call: { $case: 'lock', value: { wait: 0n } }, how: { step: 0 } })
  await first.answer(granted(false))
  for (const answer of [error('EAGAIN'), error('EAGAIN'), done]) {
    const waiting = await next()
    t.match(waiting.call, { $case: 'awaitLock', value: { wait: 40n, leave: false } })
    await waiting.answer(answer)
  }
  const second = await next()
  t.match(second, { call: { $case: 'lock', value: { wait: 40n } }, how: { step: 2 } })
  await second.answer(granted(true))
  t.equal(locking.came, 'done')
  t.same(asked, [])
})

void t.test('who does not want to wait hears EAGAIN; a ring is EDEADLK', async (t) => {
  const { begin, next } = bench()
  const trying = begin(lock({}, false))
  await (await next()).answer(granted(false))
  t.equal(trying.came, errnos.EAGAIN)
  const waiting = begin(lock())
  await (await next()).answer(granted(false))
  await (await next()).answer(error('EDEADLK'))
  t.equal(waiting.came, 'EDEADLK')
})

void t.test('an interrupted wait gives up its place', async (t) => {
  const { begin, next } = bench()
  const signal = new Interrupt()
  const waiting = begin(lock(), signal)
  await (await next()).answer(granted(false))
  const wait = await next()
  t.equal(wait.how.signal, signal)
  signal.abort()
  await wait.answer(error('EAGAIN'))
  t.equal(waiting.came, 'EINTR')
  t.match((await next()).call, { $case: 'awaitLock', value: { wait: 40n, leave: true } })
})

void t.test('what was never locked is closed without asking anybody; what was is, and once', async (t) => {
  const { begin, next, locks } = bench()
  t.ok(locks.isNothing(flush()))
  t.ok(locks.isNothing(release()))
  begin(lock())
  t.notOk(locks.isNothing(flush()), 'while it is tried for')
  await (await next()).answer(granted(true))
  t.ok(locks.isNothing(flush(2n)), 'another process')
  t.ok(locks.isNothing(release(21n)), 'another open file')
  t.notOk(locks.isNothing(release()))
  begin(unlock({ start: 5n }))
  await (await next()).answer(done)
  t.notOk(locks.isNothing(flush()), 'not all of it was unlocked')
  begin(flush())
  const flushing = await next()
  t.match(flushing.call, { $case: 'unlock', value: { range: { owner: 1n, start: 0n, end: lastByte } } })
  t.equal(flushing.how.signal, undefined, 'whatever signal comes')
  await flushing.answer(done)
  t.ok(locks.isNothing(flush()))
  t.ok(locks.isNothing(release()))
})

void t.test('an unlock that failed, or was overtaken by another lock, leaves nothing to be forgotten', async (t) => {
  const { begin, next, locks } = bench()
  begin(lock())
  await (await next()).answer(granted(true))
  begin(unlock())
  await (await next()).answer(error('EIO'))
  t.notOk(locks.isNothing(release()))
  begin(unlock())
  const unlocking = await next()
  begin(lock())
  await (await next()).answer(granted(true))
  await unlocking.answer(done)
  t.notOk(locks.isNothing(release()))
})

void t.test('a lock waits for what is just being released of its inode, interruptibly', async (t) => {
  const { begin, next, asked } = bench()
  begin(lock({ flock: true }))
  await (await next()).answer(granted(true))
  begin(release())
  const releasing = await next()
  t.match(releasing, { call: { $case: 'releaseLocks', value: { ino: 7n, handle: 20n } }, how: { patient: true } })
  const after = begin(lock({ flock: true, owner: 2n }, false))
  const signal = new Interrupt()
  const impatient = begin(lock({ flock: true, owner: 2n }), signal)
  const elsewhere = begin(lock({ ino: 8n }, false))
  t.match((await next()).call, { value: { range: { ino: 8n } } })
  t.equal(elsewhere.came, undefined)
  signal.abort()
  await settled()
  t.equal(impatient.came, 'EINTR')
  t.same(asked, [])
  await releasing.answer(error('EIO'))
  const again = await next()
  t.match(again, { call: { $case: 'releaseLocks' }, how: { step: 1 } }, 'nobody else would ask for it')
  await again.answer(done)
  await (await next()).answer(granted(true))
  t.equal(after.came, 'done')
})

void t.test('locks that were lost with their session are known by their handles, until these are closed', async (t) => {
  const { begin, next, held, locks } = bench()
  begin(lock())
  await (await next()).answer(granted(true))
  held.inherit(9n, 30n)
  begin(lock({ ino: 8n }))
  const trying = await next()
  held.lose()
  t.ok(held.isLost(20n))
  t.ok(held.isLost(30n), 'who knows what the driver before had')
  t.ok(locks.isNothing(release()), 'there is nothing left to give up')
  held.released(7n, 20n)
  t.notOk(held.isLost(20n))
  await trying.answer(granted(true))
  t.notOk(locks.isNothing({ kind: 'flush', ino: 8n, owner: 1n }), 'what came under the next session is known')
})
