import t from 'tap'
import { errnos } from '../../../proto/errno.ts'
import type { NodeId } from '../../../proto/ids.ts'
import type { Attempt, Change, FileCall } from '../../../server/session/ports.ts'
import { slotsMax } from '../../../server/session/ports.ts'
import { parseKey, replyKey, sessionKey } from '../../../server/store/keys.ts'
import { MemoryVolume, root } from './memory-volume.ts'

const mkdir = (name: string): FileCall => ({
  $case: 'mkdir',
  value: { parent: 1n, name: Buffer.from(name), mode: 0o755, umask: 0 },
})

const change = (operation: FileCall, name: Partial<Change> = {}): Change => ({
  session: 1n,
  slot: 0,
  seq: 1n,
  caller: root,
  operation,
  ...name,
})

const volume = (): MemoryVolume => {
  const made = new MemoryVolume()
  made.openSession(1n)
  return made
}

const errnoOf = (answer: Attempt): number | string => (answer.kind === 'done' ? answer.errno : answer.kind)

const children = async (of: MemoryVolume): Promise<number> => {
  const rows = await of.state.scan('d' as never, 'd' as never, 1000)
  return rows.filter(([key]) => parseKey(key)?.kind === 'dentries').length
}

void t.test('a change is answered when it is committed, and not before', async (t) => {
  const memory = volume()
  let answered = false
  const answer = memory.executor().execute(change(mkdir('a')))
  void answer.then(() => {
    answered = true
  })
  await new Promise((resolve) => setImmediate(resolve))
  t.equal(answered, false)
  memory.commit()
  const done = await answer
  t.equal(errnoOf(done), 0)
  t.equal(done.kind === 'done' && done.position.seq, memory.last)
})

void t.test('a copy of a change under way waits for it and gets the same answer; it happens once', async (t) => {
  const memory = volume()
  const executor = memory.executor()
  const both = Promise.all([executor.execute(change(mkdir('a'))), executor.execute(change(mkdir('a')))])
  await new Promise((resolve) => setImmediate(resolve))
  t.equal(memory.last, 1)
  memory.commit()
  const [first, second] = await both
  t.same(second.kind === 'done' && second.reply, first.kind === 'done' && first.reply)
  t.equal(await children(memory), 1)
})

void t.test('a copy that comes after a takeover gets the stored answer, errors included', async (t) => {
  const memory = volume()
  memory.alone = true
  const before = memory.executor()
  await before.execute(change(mkdir('a')))
  t.equal(errnoOf(await before.execute(change(mkdir('a'), { seq: 2n }))), errnos.EEXIST)
  const successor = memory.executor()
  t.equal(errnoOf(await successor.execute(change(mkdir('a'), { seq: 2n }))), errnos.EEXIST)
  t.equal(errnoOf(await successor.execute(change(mkdir('a'), { seq: 1n }))), errnos.EINVAL, 'answered long ago')
  t.equal(errnoOf(await successor.execute(change(mkdir('b'), { seq: 9n }))), 0, 'seqs may leave gaps')
})

void t.test('a change whose entry was lost with the primary is to be decided elsewhere', async (t) => {
  const memory = volume()
  const answer = memory.executor().execute(change(mkdir('a')))
  await new Promise((resolve) => setImmediate(resolve))
  memory.lose()
  t.equal((await answer).kind, 'elsewhere')
  t.equal((await memory.executor().execute(change(mkdir('a')))).kind, 'elsewhere')
})

void t.test('a session that is not there has ended', async (t) => {
  const memory = volume()
  t.equal((await memory.executor().execute(change(mkdir('a'), { session: 2n }))).kind, 'ended')
  memory.put([{ kind: 'delete', key: sessionKey(1n) }])
  t.equal((await memory.executor().execute(change(mkdir('a')))).kind, 'ended')
})

void t.test('slots and seqs out of range are refused without an entry', async (t) => {
  const memory = volume()
  const executor = memory.executor()
  t.equal(errnoOf(await executor.execute(change(mkdir('a'), { slot: slotsMax }))), errnos.EINVAL)
  t.equal(errnoOf(await executor.execute(change(mkdir('a'), { seq: 0n }))), errnos.EINVAL)
  t.equal(memory.last, 0)
})

void t.test('growth ends with ENOSPC, removal goes on', async (t) => {
  const memory = volume()
  memory.alone = true
  let room = true
  const executor = memory.executor({ hasSpace: () => room })
  await executor.execute(change(mkdir('a')))
  room = false
  t.equal(errnoOf(await executor.execute(change(mkdir('b'), { seq: 2n }))), errnos.ENOSPC)
  const rmdir: FileCall = { $case: 'rmdir', value: { parent: 1n, name: Buffer.from('a') } }
  t.equal(errnoOf(await executor.execute(change(rmdir, { seq: 3n }))), 0)
})

void t.test('what was held back is not refused for want of room: it was answered', async (t) => {
  const memory = volume()
  memory.alone = true
  let room = true
  const executor = memory.executor({ hasSpace: () => room })
  const hold = 77n
  const create: FileCall = {
    $case: 'create',
    value: { parent: 1n, name: Buffer.from('f'), mode: 0o644, umask: 0, flags: 1, take: hold },
  }
  const made = await executor.execute(change(create))
  if (made.kind !== 'done' || made.reply?.$case !== 'entry') return t.fail('it was not created')
  t.equal(made.reply.value.hold, hold)
  const ino = made.reply.value.attributes?.ino ?? 0n
  room = false
  const value = { ino, offset: 0n, data: Buffer.from('answered'), append: false, killPrivileges: false }
  const written = async (seq: bigint, under: object): Promise<number | string> =>
    errnoOf(await executor.execute(change({ $case: 'write', value: { ...value, ...under } }, { seq })))
  t.equal(await written(2n, { hold }), 0)
  t.equal(await written(3n, {}), errnos.ENOSPC)
})

void t.test('a primary whose journal is full hands over; alone it says ENOSPC', async (t) => {
  const memory = volume()
  memory.outcome = 'full'
  t.equal(errnoOf(await memory.executor().execute(change(mkdir('a')))), errnos.ENOSPC)
  const common = { acked: memory.last, applied: memory.last, progress: undefined, space: undefined }
  memory.members = [{ node: 's2' as NodeId, state: 'in-sync', ...common }]
  t.equal((await memory.executor().execute(change(mkdir('a')))).kind, 'elsewhere')
  t.equal(memory.handedOverTo, 's2')
})

void t.test('a request that makes the code throw is EIO, is logged, and is not tried again', async (t) => {
  const memory = volume()
  memory.alone = true
  const events: string[] = []
  const executor = memory.executor({ log: (event) => events.push(event) })
  const poison = { $case: 'mkdir', value: undefined } as unknown as FileCall
  t.equal(errnoOf(await executor.execute(change(poison))), errnos.EIO)
  t.equal(executor.poisoned, 1)
  t.same(events, ['request.poisoned'])
  t.not(memory.state.committed.get(replyKey(1n, 0)), undefined)
  t.equal(errnoOf(await executor.execute(change(poison))), errnos.EIO)
  t.equal(executor.poisoned, 1, 'the stored answer was given')
})

void t.test('a primary that may not read repeats no stored reply and calls nothing misordered', async (t) => {
  const memory = volume()
  memory.alone = true
  const executor = memory.executor()
  t.equal(errnoOf(await executor.execute(change(mkdir('a'), { seq: 5n }))), 0)
  memory.mayRead = false
  t.equal(errnoOf(await executor.execute(change(mkdir('a'), { seq: 5n }))), 'elsewhere')
  t.equal(errnoOf(await executor.execute(change(mkdir('a'), { seq: 4n }))), 'elsewhere')
  memory.mayRead = true
  t.equal(errnoOf(await executor.execute(change(mkdir('a'), { seq: 5n }))), 0)
  t.equal(errnoOf(await executor.execute(change(mkdir('a'), { seq: 4n }))), errnos.EINVAL)
})
