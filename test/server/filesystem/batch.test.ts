import t from 'tap'
import { errnos, FsError } from '../../../proto/errno.ts'
import type { Batched, Caller, Step } from '../../../proto/generated/file-service.ts'
import { numbersMax } from '../../../proto/holds.ts'
import { holdOn } from '../../../server/filesystem/holds.ts'
import { operate } from '../../../server/filesystem/operate.ts'
import type { At } from '../../../server/filesystem/outcome.ts'
import { MemoryVolume } from '../../fixtures/memory-volume.ts'

type Call = NonNullable<NonNullable<Step['call']>['kind']>

const root: Caller = { uid: 0, gid: 0, groups: [], pid: 0 }
const ann: Caller = { uid: 1000, gid: 1000, groups: [], pid: 0 }
const at: At = { nowNs: 5_000n, session: 1n, mayHold: true }

/** A volume of which session 1 holds the root, under number 7, and has numbers. */
function held() {
  const volume = new MemoryVolume(1_000n)
  const run = (call: Call, how: At = at) => {
    const outcome = operate(volume, root, call, how)
    volume.apply(outcome.effects)
    return volume.answer(call, outcome)
  }
  const taken = run(take(1n, 7n))
  const numbers = run({ $case: 'takeNumbers', value: { count: 10 } })
  const first = numbers.$case === 'numbers' ? numbers.value.first : 0n
  const step = (kind: Call, how: Partial<Step> = {}): Step => ({
    call: { kind },
    caller: root,
    atNs: 3_000n,
    under: { ino: 1n, number: 7n },
    also: [],
    ...how,
  })
  const batch = (steps: Step[], how?: At): Batched['failed'] => {
    const reply = run({ $case: 'batch', value: { steps } }, how)
    if (reply.$case !== 'batched') throw new Error('no answer to a batch')
    return reply.value.failed
  }
  const stat = (ino: bigint) => {
    const reply = run({ $case: 'getattr', value: { ino } })
    return reply.$case === 'attributes' ? reply.value : undefined
  }
  return { volume, run, taken, first, step, batch, stat }
}

const take = (ino: bigint, number: bigint, names: string[] = []): Call => ({
  $case: 'takeHold',
  value: { ino, number, names: names.map((name) => Buffer.from(name)), children: 100n },
})
const create = (name: string, newIno?: bigint): Call => ({
  $case: 'create',
  value: { parent: 1n, name: Buffer.from(name), mode: 0o644, umask: 0, flags: 1, newIno },
})
const write = (ino: bigint, data: string): Call => ({
  $case: 'write',
  value: { ino, offset: 0n, data: Buffer.from(data), append: true, killPrivileges: false },
})
const writeOf = (ino: bigint) => ({ ino, offset: 0n, data: Buffer.from('x'), append: false, killPrivileges: false })
const mkdir = (name: string, newIno: bigint, take: bigint): Call => ({
  $case: 'mkdir',
  value: { parent: 1n, name: Buffer.from(name), mode: 0o755, umask: 0, newIno, take },
})

void t.test('each step finds what the ones before it did, at the time when it was answered', async (t) => {
  const { batch, first, run, stat, step } = held()
  const dir = { ino: first + 1n, number: 8n }
  const inDir: Call = {
    $case: 'create',
    value: { parent: dir.ino, name: Buffer.from('b'), mode: 0o600, umask: 0, flags: 1, newIno: first + 2n },
  }
  const failed = batch([
    step(create('a', first)),
    step(write(first, 'one'), { atNs: 3_001n }),
    step(write(first, 'two'), { atNs: 3_002n }),
    step(mkdir('d', dir.ino, dir.number), { atNs: 3_003n }),
    step(inDir, { under: dir, atNs: 3_004n }),
  ])
  t.same(failed, [])
  t.match(stat(first), { size: 6n, btimeNs: 3_000n, mtimeNs: 3_002n, ctimeNs: 3_002n })
  t.match(stat(1n), { nlink: 3, mtimeNs: 3_003n })
  t.match(stat(first + 2n), { mode: 0o100600, btimeNs: 3_004n })
  t.match(run({ $case: 'read', value: { ino: first, offset: 0n, length: 9 } }), { value: Buffer.from('onetwo') })
})

void t.test('no step is of a later time than the server’s', async (t) => {
  const { batch, first, stat, step } = held()
  t.same(batch([step(create('a', first), { atNs: 9_000n })]), [])
  t.match(stat(first), { btimeNs: 5_000n })
})

void t.test('a step that fails does nothing, and the others are done', async (t) => {
  const { batch, first, stat, step } = held()
  batch([step(create('there', first))])
  const rows = [
    ['the name is taken, whatever the flags say', step(create('there', first + 1n)), 'EEXIST'],
    ['the number is an inode', step(create('a', first)), 'EINVAL'],
    ['the number was never given away', step(create('a', first + 10n)), 'EINVAL'],
    ['nobody may', step(create('a', first + 1n), { caller: ann }), 'EACCES'],
    ['another hold', step(create('a', first + 1n), { under: { ino: 1n, number: 6n } }), 'EIO'],
    ['no hold', step(create('a', first + 1n), { under: { ino: first, number: 7n } }), 'EIO'],
    ['under nothing', step(create('a', first + 1n), { under: undefined }), 'EINVAL'],
    ['by nobody', step(create('a', first + 1n), { caller: undefined }), 'EINVAL'],
    ['nothing', { ...step(create('a')), call: undefined }, 'EINVAL'],
    [
      'what is not held back',
      step({ $case: 'link', value: { ino: 1n, parent: 1n, name: Buffer.from('there') } }),
      'EINVAL',
    ],
    ['a batch', step({ $case: 'batch', value: { steps: [] } }), 'EINVAL'],
  ] as const
  for (const [what, one, errno] of rows) {
    const failed = batch([one, step(write(first, '.'))])
    t.same(failed, [{ index: 0, errno: errnos[errno] }], what)
  }
  t.match(stat(first), { size: BigInt(rows.length) })
  t.throws(() => stat(first + 1n), FsError)
})

void t.test('nobody’s batch is done under somebody else’s hold', async (t) => {
  const { batch, first, step } = held()
  t.same(batch([step(create('a', first))], { ...at, session: 2n }), [{ index: 0, errno: errnos.EIO }])
})

void t.test('what is made may be held at once', async (t) => {
  const { batch, first, step } = held()
  batch([step(mkdir('d', first, 8n))], { ...at, mayHold: false })
  const inDir = { ...create('x', first + 1n).value, parent: first } as Extract<Call, { $case: 'create' }>['value']
  t.same(batch([step({ $case: 'create', value: inDir }, { under: { ino: first, number: 8n } })]), [])
})

void t.test('who takes a directory is told what it is like', async (t) => {
  const { first, run, taken } = held()
  t.match(taken, { value: { hold: 7n, plain: true, entries: 0n, attributes: { ino: 1n } } })
  const again: Call = take(1n, 9n)
  t.match(run(again, { ...at, session: 2n }), { value: { hold: undefined } }, 'another has it')
  t.match(run(again, { ...at, mayHold: false }), { value: { hold: undefined } }, 'not now')
  run(create('f'))
  t.match(run(again), { value: { hold: 9n, plain: true, entries: 1n } })
  const noAtime = {
    ino: 1n,
    flags: 0x80,
    atime: undefined,
    mtime: undefined,
    openForWriting: false,
    killPrivileges: false,
  }
  run({ $case: 'setattr', value: noAtime })
  t.match(run(again), { value: { plain: false } }, 'new inodes would take a flag over')
  const file: Call = take(first + 10n, 9n)
  t.throws(() => run(file), new FsError('ENOTDIR', 'it is not a directory'))
})

const unlink = (name: string): Call => ({ $case: 'unlink', value: { parent: 1n, name: Buffer.from(name) } })
const rename = (name: string, newName: string): Call => ({
  $case: 'rename',
  value: { parent: 1n, name: Buffer.from(name), newParent: 1n, newName: Buffer.from(newName), flags: 0 },
})

void t.test(
  "who takes a directory may have files in it as well, if they have no other name and are nobody else's",
  (t) => {
    const { run } = held()
    const dirs: Call = { $case: 'mkdir', value: { parent: 1n, name: Buffer.from('d'), mode: 0o755, umask: 0 } }
    for (const call of [create('a'), create('b'), create('c'), create('e'), dirs]) run(call)
    const inoOf = (name: string): bigint => {
      const found = run({ $case: 'lookup', value: { parent: 1n, name: Buffer.from(name) } })
      return found.$case === 'entry' ? (found.value.attributes?.ino ?? 0n) : 0n
    }
    run({ $case: 'link', value: { ino: inoOf('b'), parent: 1n, name: Buffer.from('b2') } })
    run({ $case: 'write', value: { ...writeOf(inoOf('c')), take: 55n } }, { ...at, session: 2n })
    run({ $case: 'write', value: { ...writeOf(inoOf('e')), take: 56n } })
    const answer = run(take(1n, 7n, ['a', 'b', 'c', 'd', 'e', 'none']))
    if (answer.$case !== 'heldDirectory') throw new Error('no answer')
    const { children, entries, found } = answer.value
    t.match([entries, found], [6n, 5])
    t.same(
      children.map(({ attributes, hold, index }) => [index, attributes?.ino, hold]),
      [
        [0, inoOf('a'), 100n],
        [3, inoOf('d'), undefined],
        [4, inoOf('e'), 56n],
      ],
      'one that the session has already it keeps; of a directory it is said which it is',
    )
    const many = Array.from({ length: 257 }, (_, n) => String(n))
    t.throws(() => run(take(1n, 7n, many)), new FsError('EINVAL', 'so many holds are not given at once', { ino: 1n }))
    t.end()
  },
)

void t.test('names are taken away and led elsewhere, and the hold on what is gone ends', (t) => {
  const { batch, first, run, step, volume } = held()
  for (const name of ['a', 'b', 'c']) run(create(name))
  const taken = run(take(1n, 7n, ['a', 'b', 'c']))
  const [a, b, c] = taken.$case === 'heldDirectory' ? taken.value.children.map(({ attributes }) => attributes?.ino) : []
  if (a === undefined || b === undefined || c === undefined) throw new Error('no holds')
  t.same(
    batch([
      step(mkdir('d', first, 8n)),
      step(rename('a', 'b'), {
        also: [
          { ino: a, number: 100n },
          { ino: b, number: 101n },
        ],
      }),
      step(unlink('c'), { also: [{ ino: c, number: 102n }] }),
      step({ $case: 'rmdir', value: { parent: 1n, name: Buffer.from('d') } }, { also: [{ ino: first, number: 8n }] }),
    ]),
    [],
  )
  const listing = run({ $case: 'readdir', value: { ino: 1n, cookie: 2n, count: 9, attributes: false } })
  t.match(listing, { value: { entries: [{ ino: a }] } })
  t.same(
    [a, b, c, first].map((ino) => holdOn(volume, ino)?.number),
    [100n, undefined, undefined, undefined],
  )
  const stale = step(unlink('b'), { also: [{ ino: a, number: 99n }] })
  t.same(batch([stale]), [{ index: 0, errno: errnos.EIO }], 'under a hold that stands no more')
  t.end()
})

void t.test('numbers are given once', async (t) => {
  const { first, run } = held()
  const next = run({ $case: 'takeNumbers', value: { count: 3 } })
  t.match(next, { value: { first: first + 10n, count: 3 } })
  t.match(run(create('f')), { value: { attributes: { ino: first + 13n } } })
  for (const count of [0, numbersMax + 1]) {
    t.throws(
      () => run({ $case: 'takeNumbers', value: { count } }),
      new FsError('EINVAL', 'so many numbers are not given at once'),
    )
  }
})
