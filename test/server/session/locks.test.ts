import t from 'tap'
import { errnos } from '../../../proto/errno.ts'
import type { Hello, LockRange } from '../../../proto/generated/file-service.ts'
import type { NodeId } from '../../../proto/ids.ts'
import { locksOn } from '../../../server/filesystem/locks.ts'
import type { Executor } from '../../../server/session/executor.ts'
import type { Locks } from '../../../server/session/locks.ts'
import type { Attempt, FileCall } from '../../../server/session/ports.ts'
import { Sessions } from '../../../server/session/sessions.ts'
import { lockEndMax } from '../../../server/store/lock-records.ts'
import { MemoryVolume, root } from './memory-volume.ts'

const ino = 1n
const range = (fields: Partial<LockRange> = {}): LockRange => ({
  ino,
  owner: 1n,
  flock: false,
  exclusive: true,
  start: 0n,
  end: lockEndMax,
  ...fields,
})

const hello: Hello = { session: 0n, host: 'h', pid: 1, path: '/', nonce: 'n9', leases: false, attach: 0n }

/** A primary with three sessions, and its successors. */
class Primary {
  readonly memory: MemoryVolume
  readonly locks: Locks
  readonly executor: Executor
  readonly clock: { now: number }
  static seqs = 0n

  private constructor(memory: MemoryVolume, clock: { now: number }) {
    this.memory = memory
    this.clock = clock
    this.locks = memory.locks(() => clock.now)
    this.executor = memory.executor({ locks: this.locks })
  }

  static async begin(memory = new MemoryVolume(), clock = { now: 0 }): Promise<Primary> {
    memory.alone = true
    const primary = new Primary(memory, clock)
    if (memory.last === 0) for (const session of [1n, 2n, 3n]) memory.openSession(session)
    await primary.locks.begin()
    return primary
  }

  /** The next reign, which knows what is in the journal. */
  async successor(): Promise<Primary> {
    this.locks.end()
    return await Primary.begin(this.memory, this.clock)
  }

  async lock(session: bigint, fields: Partial<LockRange> = {}, wait = 0n): Promise<boolean> {
    const reply = await this.#change(session, { $case: 'lock', value: { range: range(fields), handle: 9n, wait } })
    return reply.kind === 'done' && reply.reply?.$case === 'locked' && reply.reply.value.granted
  }

  unlock(session: bigint, fields: Partial<LockRange> = {}): Promise<Attempt> {
    return this.#change(session, { $case: 'unlock', value: { range: range(fields) } })
  }

  /** What a wait came to, when it has. */
  wait(session: bigint, wait: bigint, fields: Partial<LockRange> = {}): { came: string | undefined } {
    const result: { came: string | undefined } = { came: undefined }
    void this.#await(session, wait, { fields, leave: false }).then((answer) => {
      result.came = answer
    })
    return result
  }

  leave(session: bigint, wait: bigint, fields: Partial<LockRange> = {}): Promise<string> {
    return this.#await(session, wait, { fields, leave: true })
  }

  at(ms: number): void {
    this.clock.now = ms
    this.locks.onTick()
  }

  async #await(session: bigint, wait: bigint, how: { fields: Partial<LockRange>; leave: boolean }): Promise<string> {
    const op = { range: range(how.fields), wait, leave: how.leave }
    const operation: FileCall = { $case: 'awaitLock', value: op }
    const answer = await this.locks.wait({ session, slot: 0, seq: 0n, caller: root, operation }, op)
    if (answer.kind !== 'done') return answer.kind
    return Object.entries(errnos).find(([, number]) => number === answer.errno)?.[0] ?? 'turn'
  }

  #change(session: bigint, operation: FileCall): Promise<Attempt> {
    return this.executor.execute({ session, slot: 0, seq: ++Primary.seqs, caller: root, operation })
  }
}

const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

void t.test('who waits is told when the lock is free, in order of arrival', async (t) => {
  const primary = await Primary.begin()
  t.ok(await primary.lock(1n))
  t.notOk(await primary.lock(2n))
  const second = primary.wait(2n, 5n)
  const third = primary.wait(3n, 5n)
  await primary.unlock(1n, { start: 0n, end: 9n })
  await settled()
  t.same([second.came, third.came], [undefined, undefined], 'a part is not enough')
  await primary.unlock(1n)
  await settled()
  t.same([second.came, third.came], ['turn', undefined])
  t.notOk(await primary.lock(1n), 'the turn is of who waited first')
  t.notOk(await primary.lock(3n), 'of nobody else')
  t.ok(await primary.lock(2n, {}, 5n))
  await primary.unlock(2n)
  await settled()
  t.equal(third.came, 'turn')
})

void t.test('readers come together', async (t) => {
  const primary = await Primary.begin()
  t.ok(await primary.lock(1n))
  const waits = [2n, 3n].map((session) => primary.wait(session, 1n, { exclusive: false }))
  await primary.lock(1n, { exclusive: false })
  await settled()
  t.same(
    waits.map(({ came }) => came),
    ['turn', 'turn'],
  )
  t.ok(await primary.lock(2n, { exclusive: false }, 1n))
  t.ok(await primary.lock(3n, { exclusive: false }, 1n))
})

void t.test('a turn that nobody takes passes; a wait of which nobody speaks is forgotten', async (t) => {
  const primary = await Primary.begin()
  t.ok(await primary.lock(1n))
  const second = primary.wait(2n, 5n)
  primary.at(900)
  await settled()
  t.equal(second.came, undefined)
  primary.at(1000)
  await settled()
  t.equal(second.came, 'EAGAIN')
  const third = primary.wait(3n, 5n)
  primary.at(2500)
  await settled()
  t.equal(third.came, 'EAGAIN')
  await primary.unlock(1n)
  t.notOk(await primary.lock(3n, {}, 5n), 'the second is expected back')
  primary.at(3600)
  t.ok(await primary.lock(3n, {}, 5n))
})

void t.test('who leaves, and who ends, has no place any more', async (t) => {
  const primary = await Primary.begin()
  t.ok(await primary.lock(1n))
  const second = primary.wait(2n, 5n)
  const third = primary.wait(3n, 5n)
  await primary.leave(2n, 5n)
  await settled()
  t.equal(second.came, 'EAGAIN', 'it said so itself: nobody listens')
  primary.locks.onSessionEnded(3n)
  await settled()
  t.equal(third.came, 'EAGAIN')
  await primary.unlock(1n)
  t.ok(await primary.lock(1n), 'nobody waits')
})

void t.test('a ring of waits is EDEADLK for fcntl, over several sessions and files; flock waits on', async (t) => {
  for (const flock of [false, true]) {
    const primary = await Primary.begin()
    const files = [1n, 2n, 3n].map((session) => ({ start: session, end: session, flock }))
    const [a, b, c] = files
    t.ok(await primary.lock(1n, a))
    t.ok(await primary.lock(2n, b))
    t.ok(await primary.lock(3n, c))
    const waits = [primary.wait(1n, 1n, b), primary.wait(2n, 1n, c)]
    await settled()
    t.same(
      waits.map(({ came }) => came),
      [undefined, undefined],
    )
    const last = primary.wait(3n, 1n, a)
    await settled()
    t.equal(last.came, flock ? undefined : 'EDEADLK')
    await primary.unlock(3n, c)
    await settled()
    t.same(
      waits.map(({ came }) => came),
      [undefined, 'turn'],
    )
  }
})

void t.test('two readers who both want to write: the second is told', async (t) => {
  const primary = await Primary.begin()
  t.ok(await primary.lock(1n, { exclusive: false }))
  t.ok(await primary.lock(2n, { exclusive: false }))
  const first = primary.wait(1n, 1n)
  const second = primary.wait(2n, 1n)
  await settled()
  t.same([first.came, second.came], [undefined, 'EDEADLK'])
})

void t.test('a successor knows who has what; who waits asks there', async (t) => {
  const first = await Primary.begin()
  t.ok(await first.lock(1n))
  const waited = first.wait(2n, 5n)
  const next = await first.successor()
  await settled()
  t.equal(waited.came, 'elsewhere')
  t.notOk(await next.lock(2n))
  const again = next.wait(2n, 5n)
  await next.unlock(1n)
  await settled()
  t.equal(again.came, 'turn')
})

void t.test(
  'a session ends with its locks, by one entry, also under a successor; then waiters are woken',
  async (t) => {
    const first = await Primary.begin()
    t.ok(await first.lock(1n, { start: 0n, end: 4n }))
    t.ok(await first.lock(2n, { start: 5n, end: 5n }))
    const primary = await first.successor()
    t.ok(await primary.lock(1n, { start: 6n, end: 9n }))
    const third = primary.wait(3n, 1n, { start: 0n, end: 4n })
    const { commits, replica, state } = primary.memory
    const { locks } = primary
    const now = (): number => primary.clock.now
    const holds = primary.memory.holds()
    const common = { commits, replica, state, locks, holds, nowNs: () => 1n, now, log: () => {} }
    const sessions = new Sessions({ ...common, timeoutMs: 1000 })
    await sessions.begin()
    const before = primary.memory.last
    t.same(await sessions.end(1n), { kind: 'ended' })
    t.equal(primary.memory.last, before + 1)
    t.same(
      locksOn(state.committed, ino).map(({ session }) => session),
      [2n],
    )
    await settled()
    t.equal(third.came, 'turn')
    t.same(await sessions.end(1n), { kind: 'ended' }, 'twice is once')
    const opened = await sessions.open(hello, 's1' as NodeId)
    t.match(opened, { kind: 'opened' })
  },
)

void t.test('a try that failed fails again when it is repeated, though the lock is free by then', async (t) => {
  const primary = await Primary.begin()
  t.ok(await primary.lock(1n))
  const operation: FileCall = { $case: 'lock', value: { range: range(), handle: 9n, wait: 0n } }
  const change = { session: 2n, slot: 1, seq: 1n, caller: root, operation }
  const first = await primary.executor.execute(change)
  await primary.unlock(1n)
  t.match(first, { kind: 'done', errno: 0, reply: { $case: 'locked', value: { granted: false } } })
  t.match(await primary.executor.execute(change), { reply: { value: { granted: false } } })
  t.same(locksOn(primary.memory.state.committed, ino), [], 'nobody is left with a lock that he was not given')
})
