import t from 'tap'
import { HeldLocks } from '../../fs-driver/driver/held-locks.ts'
import { Interrupt } from '../../fs-driver/driver/interrupt.ts'
import { LockCalls, type LockPlan } from '../../fs-driver/driver/locks.ts'
import type { Router } from '../../fs-driver/router/router.ts'
import { waitFor } from '../fixtures/wait.ts'
import { Cluster, root } from './cluster.ts'
import { Files } from './files.ts'

// Locks of several drivers on real servers in this process, while the servers take over from one another.

t.setTimeout(120_000)

let uniques = 0n
const lastByte = 2n ** 63n - 1n

/** As much of a driver as locks need. */
class Driver {
  readonly router: Router
  readonly #calls: LockCalls

  constructor(router: Router) {
    this.router = router
    this.#calls = new LockCalls(router, new HeldLocks())
  }

  async lock(ino: bigint, how: { readonly waits: boolean; readonly flock?: boolean }): Promise<boolean> {
    const { waits, flock = false } = how
    const range = { ino, owner: 1n, flock, exclusive: true, start: 0n, end: lastByte }
    return (await this.#perform({ kind: 'lock', range, handle: 1n, waits })) === 'done'
  }

  async unlock(ino: bigint): Promise<void> {
    await this.#perform({ kind: 'flush', ino, owner: 1n })
    await this.#perform({ kind: 'release', ino, fh: 1n })
  }

  async #perform(plan: LockPlan): Promise<string> {
    const unique = (uniques += 2n)
    const signal = new Interrupt()
    try {
      return (await this.#calls.perform(plan, { unique, caller: root, signal })).kind
    } finally {
      this.router.answered(unique)
    }
  }
}

void t.test('through takeovers a lock is never given twice, and everybody gets it', async (t) => {
  const names = ['s1', 's2', 's3']
  const cluster = await Cluster.start(names)
  t.teardown(() => cluster.close())
  await cluster.inSync(3)
  const drivers = names.map((name) => new Driver(cluster.router({ path: `/${name}` })))
  const [first] = drivers
  if (first === undefined) return t.fail('no driver')
  const files = new Files(first.router)
  const ino = await files.create('counter')
  let holders = 0
  let turns = 0
  let over = false
  const faults: string[] = []
  const contend = async (driver: Driver, flock: boolean): Promise<number> => {
    let mine = 0
    const own = new Files(driver.router)
    while (!over) {
      await driver.lock(ino, { waits: true, flock })
      if (++holders > 1) faults.push('two hold it')
      const now = Number((await own.read(ino, 20)).toString() || '0')
      await own.write(ino, Buffer.from(String(now + 1)))
      if (now !== turns) faults.push(`${turns} have had it, the file says ${now}`)
      turns = now + 1
      mine++
      holders--
      await driver.unlock(ino)
    }
    return mine
  }
  const contenders = drivers.map((driver) => contend(driver, false))
  for (let round = 0; round < 3; round++) {
    const before = turns
    await waitFor(() => turns > before + 20 || undefined, { what: 'turns', limitMs: 20_000 })
    const primary = await cluster.primary()
    await cluster.stopServer(primary)
    const during = turns
    await waitFor(() => turns > during + 5 || undefined, { what: 'turns under another primary', limitMs: 20_000 })
    await cluster.startServer(primary)
    await cluster.inSync(3)
  }
  over = true
  const mine = await Promise.all(contenders)
  t.same(faults, [])
  t.ok(Math.min(...mine) > 0, `all had it: ${mine.join(', ')}`)
  t.same(cluster.fatal, [])
})

void t.test('a driver that is gone keeps its locks until its session ends; one that says so, does not', async (t) => {
  const cluster = await Cluster.start(['s1', 's2'], undefined, { sessionTimeoutMs: 3_000 })
  t.teardown(() => cluster.close())
  const [dying, ending, waiting] = ['/a', '/b', '/c'].map((path) => new Driver(cluster.router({ path })))
  if (dying === undefined || ending === undefined || waiting === undefined) return t.fail('no drivers')
  const files = new Files(waiting.router)
  const ino = await files.create('f')
  t.ok(await ending.lock(ino, { waits: false }))
  t.notOk(await waiting.lock(ino, { waits: false }))
  await ending.router.end()
  t.ok(await waiting.lock(ino, { waits: false }), 'at once')
  await waiting.unlock(ino)

  t.ok(await dying.lock(ino, { waits: false }))
  await dying.router.close()
  t.notOk(await waiting.lock(ino, { waits: false }))
  const began = performance.now()
  t.ok(await waiting.lock(ino, { waits: true }), 'when the session has ended')
  t.ok(performance.now() - began > 2_000)
})
