import t from 'tap'
import { errnos } from '../../../proto/errno.ts'
import { epoch, type NodeId, type Seq, seq } from '../../../proto/ids.ts'
import { origin, type Position } from '../../../replication/entry.ts'
import { operate } from '../../../server/filesystem/operate.ts'
import type { CutOff } from '../../../server/partition.ts'
import type { Answer, FileCall, StatePort, Wanted } from '../../../server/session/ports.ts'
import { Reads } from '../../../server/session/reads.ts'
import { RoleWatch } from '../../../server/session/role-watch.ts'
import { Tickets } from '../../../server/session/tickets.ts'
import { encodeBody } from '../../../server/store/body.ts'
import type { Effect } from '../../../server/store/effect.ts'
import { encodeHold } from '../../../server/store/hold-records.ts'
import { holdKey, inodeKey } from '../../../server/store/keys.ts'
import { decodeInode, encodeInode } from '../../../server/store/records.ts'
import { MemoryVolume, root } from './memory-volume.ts'

const getattr: FileCall = { $case: 'getattr', value: { ino: 1n } }
const wanted = (): Wanted => ({ closed: false, cancelled: false })
const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

/** Changes an attribute of an inode. */
function touch(memory: MemoryVolume, ino: bigint, fields: { readonly uid?: number; readonly size?: number }): Effect {
  const value = memory.state.pending.get(inodeKey(ino))
  if (value === undefined) throw new Error(`there is no inode ${ino}`)
  return { kind: 'put', key: inodeKey(ino), value: encodeInode({ ...decodeInode(value), ...fields }) }
}

const uidOf = (answer: Answer | undefined): number | undefined =>
  answer?.kind === 'done' && answer.reply?.$case === 'attributes' ? answer.reply.value.uid : undefined

class Member {
  readonly memory = new MemoryVolume('s2')
  readonly roles = new RoleWatch()
  readonly commitAnswers = new Tickets<Seq | undefined>()
  readonly asked: number[] = []
  readonly reads: Reads
  cutOff: CutOff = 'no'
  /** Of inodes that others hold; none of them answers, if it isn't said otherwise. */
  release: (inos: readonly bigint[]) => Promise<undefined> = async () => await new Promise(() => {})

  constructor(state: Partial<StatePort> = {}) {
    this.memory.primary = 's1' as NodeId
    this.memory.askCommit = (ticket) => this.asked.push(ticket)
    const { replica, commits } = this.memory
    this.reads = new Reads({
      self: this.memory.self,
      replica,
      state: { ...this.memory.state, ...state },
      commits,
      commitAnswers: this.commitAnswers,
      nowNs: () => 7n,
      log: () => {},
      changed: this.roles.changed,
      changes: { release: async (inos) => await this.release(inos) },
      cutOff: () => this.cutOff,
    })
  }

  /** @returns the new file's number */
  create(name: string): bigint {
    const value = { parent: 1n, name: Buffer.from(name), mode: 0o644, umask: 0, flags: 2 }
    const { effects, reply } = operate(this.memory.state.pending, root, { $case: 'create', value }, { nowNs: 1n })
    this.memory.put(effects)
    return reply.$case === 'entry' ? (reply.value.attributes?.ino ?? 0n) : 0n
  }

  hold(ino: bigint, session: bigint): void {
    this.memory.put([{ kind: 'put', key: holdKey(ino), value: encodeHold({ session, number: 1n }) }])
  }

  async ticks(count: number): Promise<void> {
    for (let tick = 0; tick < count; tick++) {
      await settled()
      this.roles.wake()
    }
    await settled()
  }

  read(
    call: FileCall = getattr,
    seen: Position = origin,
    want = wanted(),
    session = 1n,
  ): { answer: Answer | undefined } {
    const result: { answer: Answer | undefined } = { answer: undefined }
    void this.reads.answer(root, call, { seen, session, wanted: want }).then((answer) => {
      result.answer = answer
    })
    return result
  }
}

void t.test('a mirror asks the primary before it answers what an uncommitted entry touches', async (t) => {
  const member = new Member()
  const { memory } = member
  memory.append(encodeBody([touch(memory, 1n, { uid: 5 })]))
  const reading = member.read()
  await settled()
  t.equal(reading.answer, undefined, 'it may have been seen elsewhere')
  t.equal(member.asked.length, 1)
  member.commitAnswers.settle(member.asked[0] ?? 0, memory.last)
  await settled()
  t.equal(reading.answer, undefined, 'committed, but not here yet')
  memory.commit()
  await settled()
  t.equal(uidOf(reading.answer), 5)
})

void t.test('told that it is not committed, a mirror answers with the state before', async (t) => {
  const member = new Member()
  member.memory.append(encodeBody([touch(member.memory, 1n, { uid: 5 })]))
  const reading = member.read()
  await settled()
  member.commitAnswers.settle(member.asked[0] ?? 0, seq(0))
  await settled()
  t.equal(uidOf(reading.answer), 0)
})

void t.test('an answer of the primary that is lost, or unknown, is asked for again', async (t) => {
  const member = new Member()
  member.memory.append(encodeBody([touch(member.memory, 1n, { uid: 5 })]))
  const reading = member.read()
  for (let tick = 0; tick < 30 && member.asked.length < 2; tick++) {
    await settled()
    member.roles.wake()
  }
  t.equal(member.asked.length, 2)
  member.commitAnswers.settle(member.asked[1] ?? 0, undefined)
  for (let tick = 0; tick < 30 && member.asked.length < 3; tick++) {
    await settled()
    member.roles.wake()
  }
  member.commitAnswers.settle(member.asked[2] ?? 0, seq(0))
  await settled()
  t.equal(uidOf(reading.answer), 0)
})

void t.test('the primary answers from what is committed without asking anybody', async (t) => {
  const member = new Member()
  member.memory.primary = member.memory.self
  member.memory.append(encodeBody([touch(member.memory, 1n, { uid: 5 })]))
  const reading = member.read()
  await settled()
  t.equal(uidOf(reading.answer), 0)
  t.same(member.asked, [])
})

void t.test('no older state than the session has seen, and none without a lease', async (t) => {
  const member = new Member()
  const { memory } = member
  memory.append(encodeBody([touch(memory, 1n, { uid: 5 })]))
  const reading = member.read(getattr, { epoch: epoch(1), seq: seq(1) })
  await settled()
  t.equal(reading.answer, undefined)
  memory.mayRead = false
  memory.commit()
  member.roles.wake()
  await settled()
  t.equal(reading.answer, undefined)
  memory.mayRead = true
  member.roles.wake()
  await settled()
  t.equal(uidOf(reading.answer), 5)
})

void t.test('a read that nobody wants any more ends', async (t) => {
  const member = new Member()
  member.memory.mayRead = false
  const want = wanted()
  const reading = member.read(getattr, origin, want)
  await settled()
  want.cancelled = true
  member.roles.wake()
  await settled()
  t.match(reading.answer, { kind: 'done', errno: errnos.EINTR })
})

void t.test('who has seen what is no more is told so at once, where a later reign has committed', async (t) => {
  const member = new Member()
  const { memory } = member
  memory.append(encodeBody([touch(memory, 1n, { uid: 5 })]))
  const lost = member.read(getattr, { epoch: epoch(1), seq: seq(7) })
  await settled()
  t.equal(lost.answer, undefined, 'it may still come')
  memory.starts = [...memory.starts, { epoch: epoch(3), first: seq(1) }]
  memory.commit()
  for (let tick = 0; tick < 10; tick++) {
    member.roles.wake()
    await settled()
  }
  t.match(lost.answer, { kind: 'done', errno: errnos.EIO, lost: true, position: { epoch: 3, seq: 1 } })
})

void t.test('size and contents are of one state, and a lease lost while reading lets nothing out', async (t) => {
  const ino = 2n
  const reads: (() => void)[] = []
  const member: Member = new Member({
    readBlob: async (blob, offset, length) => {
      await new Promise<void>((resolve) => reads.push(resolve))
      return await member.memory.state.readBlob(blob, offset, length)
    },
  })
  const { memory } = member
  const root = decodeInode(memory.state.committed.get(inodeKey(1n)) ?? new Uint8Array(0))
  const file = { ...root, mode: 0o100644, nlink: 1, blob: ino, size: 3, parent: 0n, entries: 0 }
  memory.put([
    { kind: 'put', key: inodeKey(ino), value: encodeInode(file) },
    { kind: 'blob.write', blob: ino, offset: 0, data: Buffer.from('old') },
  ])
  const reading = member.read({ $case: 'read', value: { ino, offset: 0n, length: 10 } })
  await settled()
  memory.append(
    encodeBody([
      touch(memory, ino, { size: 5 }),
      { kind: 'blob.write', blob: ino, offset: 0, data: Buffer.from('newer') },
    ]),
  )
  memory.commit()
  reads.shift()?.()
  await settled()
  t.equal(reading.answer, undefined, 'read again')
  memory.mayRead = false
  reads.shift()?.()
  await settled()
  t.equal(reading.answer, undefined, 'no lease any more')
  memory.mayRead = true
  member.roles.wake()
  await settled()
  reads.shift()?.()
  await settled()
  t.match(reading.answer, { kind: 'done', errno: 0, reply: { $case: 'data', value: Buffer.from('newer') } })
})

const readdir: FileCall = { $case: 'readdir', value: { ino: 1n, cookie: 0n, count: 100, attributes: true } }

/** Names, each with whether its attributes are said. */
function listed(answer: Answer | undefined): Record<string, boolean> | undefined {
  if (answer?.kind !== 'done' || answer.reply?.$case !== 'listing') return undefined
  const named = answer.reply.value.entries.filter(({ name }) => !String(name).startsWith('.'))
  return Object.fromEntries(named.map(({ name, attributes }) => [String(name), attributes !== undefined]))
}

void t.test('a listing waits for holds on what is in it only while their holders may answer soon', async (t) => {
  const member = new Member()
  const held = member.create('held')
  member.create('free')
  member.hold(held, 2n)
  const ofItsHolder = member.read(readdir, origin, wanted(), 2n)
  const reading = member.read(readdir)
  const lookup = member.read({ $case: 'lookup', value: { parent: 1n, name: Buffer.from('held') } })
  await settled()
  t.same(listed(ofItsHolder.answer), { held: true, free: true })
  t.equal(reading.answer, undefined, 'the holder may answer yet')
  await member.ticks(20)
  t.same(listed(reading.answer), { held: false, free: true }, 'it did not: its name is there all the same')
  t.equal(lookup.answer, undefined, 'whoever asks for its attributes waits on')
})

void t.test('a listing says all of what was given back soon', async (t) => {
  const member = new Member()
  const held = member.create('held')
  member.hold(held, 2n)
  member.release = async (inos) => {
    t.same(inos, [held])
    await member.roles.changed()
    member.memory.put([{ kind: 'delete', key: holdKey(held) }])
  }
  const reading = member.read(readdir)
  await member.ticks(2)
  t.same(listed(reading.answer), { held: true })
})

void t.test('a listing of a directory that another host holds waits for it', async (t) => {
  const member = new Member()
  member.hold(1n, 2n)
  const reading = member.read(readdir)
  await member.ticks(40)
  t.equal(reading.answer, undefined, 'names may have been made there')
})
