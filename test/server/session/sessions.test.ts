import t from 'tap'
import type { Hello } from '../../../proto/generated/file-service.ts'
import type { NodeId } from '../../../proto/ids.ts'
import type { FileCall } from '../../../server/session/ports.ts'
import { Sessions } from '../../../server/session/sessions.ts'
import { repliesPrefix, sessionKey } from '../../../server/store/keys.ts'
import { MemoryVolume, root } from './memory-volume.ts'

const s2 = 's2' as NodeId
const hello = (nonce: string): Hello => ({
  session: 0n,
  host: 'h',
  pid: 1,
  path: '/mnt',
  nonce,
  leases: false,
  attach: 0n,
})
const mkdir: FileCall = { $case: 'mkdir', value: { parent: 1n, name: Buffer.from('a'), mode: 0o755, umask: 0 } }

function sessionsOf(memory: MemoryVolume, clock: { now: number }): Sessions {
  const { commits, replica, state } = memory
  return new Sessions({
    commits,
    replica,
    state,
    nowNs: () => 1n,
    now: () => clock.now,
    log: () => {},
    locks: memory.locks(),
    holds: memory.holds(),
    timeoutMs: 1000,
  })
}

void t.test('one nonce opens one session, however often and wherever it is asked', async (t) => {
  const memory = new MemoryVolume()
  const clock = { now: 0 }
  const sessions = sessionsOf(memory, clock)
  const both = Promise.all([sessions.open(hello('x'), s2), sessions.open(hello('x'), s2)])
  memory.commit()
  const [first, second] = await both
  t.same(first, { kind: 'opened', session: 1n })
  t.same(second, first)
  memory.alone = true
  t.same(await sessions.open(hello('y'), s2), { kind: 'opened', session: 2n })
  const successor = sessionsOf(memory, clock)
  await successor.begin()
  t.same(await successor.open(hello('x'), s2), first, 'also at a new primary')
  t.same(await successor.open(hello('z'), s2), { kind: 'opened', session: 3n })
})

void t.test('who is silent too long is ended by an entry, with all its replies, and stays ended', async (t) => {
  const memory = new MemoryVolume()
  memory.alone = true
  const clock = { now: 0 }
  const sessions = sessionsOf(memory, clock)
  await sessions.open(hello('x'), s2)
  await sessions.open(hello('y'), s2)
  const executor = memory.executor()
  await executor.execute({ session: 1n, slot: 3, seq: 1n, caller: root, operation: mkdir })
  clock.now = 900
  sessions.onAlive(s2, [{ session: 2n, round: 0n, openOrphans: [], attach: 0n }])
  clock.now = 1100
  sessions.expire()
  t.same(
    [...sessions.all()].map(({ session }) => session),
    [2n],
  )
  t.equal(memory.state.committed.get(sessionKey(1n)), undefined)
  t.same(await memory.state.scan(repliesPrefix(1n), repliesPrefix(1n), 10), [])
  const again = await executor.execute({ session: 1n, slot: 3, seq: 1n, caller: root, operation: mkdir })
  t.equal(again.kind, 'ended')
  t.same(await sessions.open(hello('x'), s2), { kind: 'opened', session: 3n }, 'numbers are not used again')
})

void t.test('a new primary gives everyone the full time anew', async (t) => {
  const memory = new MemoryVolume()
  memory.alone = true
  const clock = { now: 0 }
  await sessionsOf(memory, clock).open(hello('x'), s2)
  clock.now = 5000
  const successor = sessionsOf(memory, clock)
  await successor.begin()
  clock.now = 5900
  successor.expire()
  t.equal([...successor.all()].length, 1)
  clock.now = 6100
  successor.expire()
  t.equal([...successor.all()].length, 0)
})
