import t from 'tap'
import { errnos } from '../../../proto/errno.ts'
import type { Step, Write } from '../../../proto/generated/file-service.ts'
import { heldBytesMax, holdsMax } from '../../../proto/holds.ts'
import { holdOn } from '../../../server/filesystem/holds.ts'
import { loadInode } from '../../../server/filesystem/inode.ts'
import type { Executor } from '../../../server/session/executor.ts'
import { Holds } from '../../../server/session/holds.ts'
import type { Attempt, FileCall } from '../../../server/session/ports.ts'
import { encodeBody } from '../../../server/store/body.ts'
import { MemoryVolume, root } from './memory-volume.ts'

/** A primary with three sessions and one file, and its successors. */
class Primary {
  readonly memory: MemoryVolume
  readonly holds: Holds
  readonly executor: Executor
  readonly clock = { now: 0 }
  readonly disk = { freeBytes: 2 ** 40 }
  /** By session: when it was last heard of. */
  readonly heard = new Map<bigint, number>()
  /** Sessions that were asked for holds. */
  readonly asked: { readonly session: bigint; readonly number: bigint }[] = []
  static seqs = 0n
  ino = 0n

  constructor(memory = new MemoryVolume()) {
    this.memory = memory
    memory.alone = true
    const { replica, state, commits } = memory
    this.holds = new Holds({
      replica,
      state,
      commits,
      now: () => this.clock.now,
      freeBytes: () => this.disk.freeBytes,
      heard: (session) => this.heard.get(session),
      ask: (session, { number }) => void this.asked.push({ session, number }),
      log: () => {},
    })
    this.executor = memory.executor({ holds: this.holds })
  }

  static async begin(): Promise<Primary> {
    const primary = new Primary()
    for (const session of [1n, 2n, 3n]) primary.memory.openSession(session)
    await primary.holds.begin()
    primary.ino = await primary.create(1n, 'file')
    return primary
  }

  async successor(): Promise<Primary> {
    this.holds.end()
    const next = new Primary(this.memory)
    next.ino = this.ino
    await next.holds.begin()
    return next
  }

  async create(session: bigint, name: string, take?: bigint): Promise<bigint> {
    const value = { parent: 1n, name: Buffer.from(name), mode: 0o644, umask: 0, flags: 2, take }
    const answer = await this.change(session, { $case: 'create', value })
    if (answer.kind !== 'done' || answer.reply?.$case !== 'entry') throw new Error('no file was made')
    return answer.reply.value.attributes?.ino ?? 0n
  }

  write(session: bigint, fields: Partial<Write> = {}): Promise<Attempt> {
    const value = {
      ino: this.ino,
      offset: 0n,
      data: Buffer.from('data'),
      append: false,
      killPrivileges: false,
      ...fields,
    }
    return this.change(session, { $case: 'write', value })
  }

  release(session: bigint, number: bigint): Promise<Attempt> {
    return this.change(session, { $case: 'releaseHolds', value: { holds: [{ ino: this.ino, number }] } })
  }

  change(session: bigint, operation: FileCall): Promise<Attempt> {
    return this.executor.execute({ session, slot: 0, seq: ++Primary.seqs, caller: root, operation })
  }

  holder(): string | undefined {
    const hold = holdOn(this.memory.state.committed, this.ino)
    return hold && `${hold.session}/${hold.number}`
  }

  at(ms: number): void {
    this.clock.now = ms
    this.holds.onTick()
  }
}

const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))
const given = (answer: Attempt): bigint | undefined =>
  answer.kind === 'done' && answer.reply?.$case === 'written' ? answer.reply.value.hold : undefined
const errno = (answer: Attempt): number | string => (answer.kind === 'done' ? answer.errno : answer.kind)

/** What a promise has come to, when it has. */
function watched<Value>(promise: Promise<Value>): { came: Value | undefined } {
  const result: { came: Value | undefined } = { came: undefined }
  void promise.then((value) => {
    result.came = value
  })
  return result
}

void t.test('a hold comes with the write, or the create, that wants it', async (t) => {
  const primary = await Primary.begin()
  t.equal(given(await primary.write(1n)), undefined, 'nobody wanted one')
  t.equal(given(await primary.write(1n, { take: 70n })), 70n)
  t.equal(primary.holder(), '1/70')
  t.equal(given(await primary.write(1n, { take: 71n })), 71n, 'a session may want its own anew: after a restart')
  t.equal(primary.holder(), '1/71')
  t.equal(holdOn(primary.memory.state.committed, await primary.create(2n, 'other', 5n))?.number, 5n)
})

void t.test('whoever else needs the file waits until it is given back', async (t) => {
  const primary = await Primary.begin()
  await primary.write(1n, { take: 70n })
  const chmod = { ino: primary.ino, mode: 0o600, openForWriting: false, killPrivileges: false }
  const other = watched(
    primary.change(2n, { $case: 'setattr', value: { ...chmod, atime: undefined, mtime: undefined } }),
  )
  const flush = watched(primary.holds.releasedForAll([primary.ino], 3n))
  await settled()
  t.equal(other.came, undefined)
  t.same(primary.asked, [{ session: 1n, number: 70n }], 'its holder is asked, once for all who wait')
  primary.at(250)
  t.equal(primary.asked.length, 2, 'and again, as that may be lost')
  t.equal(errno(await primary.write(1n, { hold: 70n })), 0, 'what it held back is written')
  t.equal(errno(await primary.release(1n, 69n)), 0)
  await settled()
  t.equal(other.came, undefined, 'another number gives nothing back')
  await primary.release(1n, 70n)
  await settled()
  t.equal(other.came?.kind, 'done')
  t.equal(flush.came, true)
  t.equal(given(await primary.write(1n, { take: 72n })), undefined, 'it is left alone for a moment')
  primary.at(1_500)
  t.equal(given(await primary.write(1n, { take: 73n })), 73n)
})

void t.test('what was held back is refused when the hold is not there any more, and is of its own time', async (t) => {
  const primary = await Primary.begin()
  await primary.write(1n, { take: 70n })
  t.equal(errno(await primary.write(1n, { hold: 70n, ageNs: 3n })), 0)
  const inode = loadInode(primary.memory.state.committed, primary.ino)
  t.equal(inode.mtimeNs, 4n, 'the clock says 7')
  t.equal(inode.ctimeNs, 7n, 'which never goes back')
  t.equal(errno(await primary.write(1n, { hold: 71n })), errnos.EIO)
  await primary.release(1n, 70n)
  t.equal(errno(await primary.write(1n, { hold: 70n })), errnos.EIO)
})

void t.test('who neither writes nor gives it back for ten seconds loses it', async (t) => {
  const primary = await Primary.begin()
  await primary.write(1n, { take: 70n })
  const waiting = watched(primary.holds.released([primary.ino], 2n))
  primary.at(9_000)
  await primary.write(1n, { hold: 70n })
  primary.at(18_000)
  await settled()
  t.equal(waiting.came, undefined, 'it was writing')
  primary.at(19_500)
  await settled()
  t.equal(waiting.came, true)
  t.equal(primary.holder(), undefined, 'by an entry, which every member knows')
  t.equal(errno(await primary.write(1n, { hold: 70n })), errnos.EIO)
})

void t.test('who is not heard of is waited for once, however much is wanted of it', async (t) => {
  for (const isHeard of [false, true]) {
    const primary = await Primary.begin()
    const inos = [await primary.create(1n, 'a', 71n), await primary.create(1n, 'b', 72n)] as const
    const first = watched(primary.holds.released([inos[0]], 2n))
    primary.heard.set(1n, isHeard ? 4_500 : 2_500)
    primary.at(10_100)
    await settled()
    t.equal(first.came, true)
    const second = watched(primary.holds.released([inos[1]], 2n))
    primary.at(10_150)
    await settled()
    t.equal(second.came, isHeard ? undefined : true, isHeard ? 'it may have been slow' : 'nobody is there')
    primary.at(20_300)
    await settled()
    t.equal(second.came, true)
  }
})

void t.test('who has answered, and is not heard of since, has all the time there is', async (t) => {
  const primary = await Primary.begin()
  const other = await primary.create(1n, 'other', 71n)
  await primary.write(1n, { take: 70n })
  primary.heard.set(1n, -500)
  const first = watched(primary.holds.released([primary.ino], 2n))
  await primary.release(1n, 70n)
  await settled()
  t.equal(first.came, true)
  primary.at(50_000)
  const second = watched(primary.holds.released([other], 2n))
  primary.at(59_900)
  await settled()
  t.equal(second.came, undefined)
  primary.at(60_100)
  await settled()
  t.equal(second.came, true)
})

void t.test('who is heard of again has all the time there is', async (t) => {
  const primary = await Primary.begin()
  const inos = [await primary.create(1n, 'a', 71n), await primary.create(1n, 'b', 72n)] as const
  primary.heard.set(1n, -500)
  void primary.holds.released([inos[0]], 2n)
  primary.at(9_000)
  primary.heard.set(1n, 9_000)
  const second = watched(primary.holds.released([inos[1]], 2n))
  primary.at(18_900)
  await settled()
  t.equal(second.came, undefined)
  primary.at(19_100)
  await settled()
  t.equal(second.came, true)
})

void t.test('what is done under the hold on a directory counts as an answer, until that is given back', async (t) => {
  const primary = await Primary.begin()
  const take = await primary.change(1n, {
    $case: 'takeHold',
    value: { ino: 1n, number: 70n, names: [], children: 0n },
  })
  t.match(take, { kind: 'done', errno: 0, reply: { value: { hold: 70n, entries: 1n } } })
  const other = watched(primary.create(2n, 'theirs'))
  const batch = async (name: string): Promise<unknown> => {
    const value = { parent: 1n, name: Buffer.from(name), mode: 0o644, umask: 0, flags: 2 }
    const step = {
      call: { kind: { $case: 'create', value } },
      caller: root,
      atNs: 5n,
      under: { ino: 1n, number: 70n },
      also: [],
    } satisfies Step
    const answer = await primary.change(1n, { $case: 'batch', value: { steps: [step] } })
    return answer.kind === 'done' && answer.reply?.$case === 'batched' ? answer.reply.value.failed : answer
  }
  primary.at(9_000)
  t.same(await batch('ours'), [])
  primary.at(18_000)
  await settled()
  t.equal(other.came, undefined)
  primary.at(19_500)
  await settled()
  t.type(other.came, 'bigint', 'it was fenced')
  t.same(await batch('late'), [{ index: 0, errno: errnos.EIO }])
})

void t.test('the end of a session gives back what it has, and the next primary knows who has what', async (t) => {
  const primary = await Primary.begin()
  await primary.write(1n, { take: 70n })
  const before = watched(primary.holds.released([primary.ino], 2n))
  const next = await primary.successor()
  await settled()
  t.equal(before.came, false, 'who waits asks there')
  t.ok(next.holds.isUsed)
  const waiting = watched(next.holds.released([next.ino], 2n))
  t.same(next.asked, [{ session: 1n, number: 70n }])
  next.memory.replica.propose(encodeBody([...next.holds.freeing(1n)]))
  next.holds.onSessionEnded(1n)
  await settled()
  t.equal(waiting.came, true)
  t.equal(next.holder(), undefined)
  t.notOk(next.holds.isUsed)
})

void t.test(
  'holds are given while there is room for all that may be held back, and asked back before it is missed',
  async (t) => {
    const primary = await Primary.begin()
    primary.disk.freeBytes = 15 * heldBytesMax
    t.equal(given(await primary.write(1n, { take: 70n })), undefined)
    primary.disk.freeBytes = 20 * heldBytesMax
    t.equal(given(await primary.write(1n, { take: 71n })), 71n)
    const other = await primary.create(2n, 'other', 5n)
    t.equal(holdOn(primary.memory.state.committed, other), undefined, 'a second session would need as much')
    t.equal(primary.holds.reservedBytes, heldBytesMax)
    primary.disk.freeBytes = 15 * heldBytesMax
    primary.at(10)
    t.same(primary.asked, [{ session: 1n, number: 71n }])
    await primary.release(1n, 71n)
    t.equal(primary.holds.reservedBytes, 0)
  },
)

void t.test('a session has so many holds and no more', async (t) => {
  const primary = await Primary.begin()
  const inos: bigint[] = []
  for (let file = 0; file <= holdsMax; file++) inos.push(await primary.create(1n, `f${file}`, BigInt(file + 1)))
  const held = inos.filter((ino) => holdOn(primary.memory.state.committed, ino) !== undefined)
  t.equal(held.length, holdsMax)
})
