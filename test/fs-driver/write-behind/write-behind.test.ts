import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import t, { type Test } from 'tap'
import type { CallIdentity, FileCall, FileResult } from '../../../fs-driver/router/file-client.ts'
import { ExtentFile } from '../../../fs-driver/write-behind/extent-file.ts'
import { StepFiles } from '../../../fs-driver/write-behind/step-files.ts'
import { WriteBehind } from '../../../fs-driver/write-behind/write-behind.ts'
import type { Caller, Write } from '../../../proto/generated/file-service.ts'
import { attributesOf } from '../../fixtures/attributes.ts'
import { quietCaches } from '../../fixtures/quiet-caches.ts'
import { waitFor } from '../../fixtures/wait.ts'

interface Sent {
  readonly call: FileCall
  readonly how: CallIdentity
  readonly answer: (result: FileResult) => void
}

const caller: Caller = { uid: 0, gid: 0, groups: [], pid: 1 }
const ino = 7n
const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))
const done: FileResult = { $case: 'done', value: {} }
const written = (size: number, hold?: bigint): FileResult => ({
  $case: 'written',
  value: { length: 1, offset: 0n, size: BigInt(size), hold },
})
const writeOf = (text: string, fields: Partial<Write> = {}): Write => ({
  ino,
  offset: 0n,
  data: Buffer.from(text),
  append: true,
  killPrivileges: false,
  ...fields,
})
const writeCall = (text: string, fields: Partial<Write> = {}): FileCall & { $case: 'write' } => ({
  $case: 'write',
  value: writeOf(text, fields),
})

/** A driver's write-behind with leases until they are lost, between the test and the test. */
function bench(t: Test) {
  const folder = mkdtempSync(path.join(tmpdir(), 'banyan-behind-'))
  const clock = { ms: 0 }
  const open = { writing: true }
  const sent: Sent[] = []
  const { coherence } = quietCaches({ nowMs: () => clock.ms })
  coherence.onProlonged(1e9)
  const behind = new WriteBehind({
    client: () => ({
      call: (call, _caller, how) =>
        new Promise((resolve) => {
          const answer = (result: FileResult): void => {
            how.onOutcome?.({ kind: 'result', result }, [])
            resolve(result)
          }
          sent.push({ call, how, answer })
        }),
    }),
    coherence,
    file: new ExtentFile(path.join(folder, 'writes'), { resend: false }),
    stepFiles: new StepFiles(path.join(folder, 'steps'), { resend: false }),
    open: { isOpenForWriting: () => open.writing, handlesOf: () => [] },
    nowMs: () => clock.ms,
    log: { debug: () => {}, info: () => {}, error: () => {} },
  })
  t.teardown(async () => {
    const end = behind.end()
    for (const one of sent) one.answer(done)
    await end
    rmSync(folder, { recursive: true })
  })
  let unique = 0n
  const take = (text: string, { resent = false } = {}): boolean =>
    behind.take(writeOf(text), caller, { unique: (unique += 2n), resent })
  /** A write that goes through. @returns the hold it asked for */
  const through = (text: string, how: { size: number; durable?: boolean; given?: boolean }): bigint | undefined => {
    const { asked, call } = behind.asking(writeCall(text), { durable: how.durable ?? false })
    const wanted = call.$case === 'write' ? call.value.take : undefined
    asked(written(how.size, how.given === false ? undefined : wanted), undefined)
    return wanted
  }
  const next = async (): Promise<Sent> => {
    await waitFor(() => (sent.length > 0 ? true : undefined), {
      what: 'something to be sent',
      limitMs: 5000,
      everyMs: 5,
    })
    const [first] = sent.splice(0, 1)
    if (first === undefined) throw new Error('nothing was sent')
    return first
  }
  return { behind, coherence, clock, open, sent, take, through, next }
}

void t.test('the first write asks for the hold, the next ones are held back where the file ends', async (t) => {
  const { take, through, behind, next } = bench(t)
  t.notOk(take('early'))
  t.type(through('abc', { size: 3 }), 'bigint')
  t.ok(take('de'))
  t.ok(take('f'))
  const waits = behind.before({ $case: 'getattr', value: { ino } }, { all: false })
  t.ok(waits, 'who asks about it waits')
  const { call, answer } = await next()
  t.match(call, { $case: 'write', value: { offset: 3n, append: false, data: Buffer.from('def') } })
  answer(written(6))
  await waits
  t.equal(behind.before({ $case: 'getattr', value: { ino } }, { all: false }), undefined)
  t.ok(take('g'))
})

void t.test('a hold that is not given is not used, and what must be on the disks asks for none', (t) => {
  const { take, through } = bench(t)
  t.equal(through('a', { size: 1, durable: true }), undefined)
  through('b', { size: 2, given: false })
  t.notOk(take('c'))
  t.end()
})

void t.test('what waits for what was held back', (t) => {
  const { behind, take, through } = bench(t)
  through('a', { size: 1 })
  take('b')
  const name = Buffer.from('n')
  const create = { parent: 1n, name, mode: 0o644, umask: 0 }
  const waits = (call: FileCall, all = false): boolean => behind.before(call, { all }) !== undefined
  t.ok(waits({ $case: 'read', value: { ino, offset: 0n, length: 1 } }))
  t.ok(waits({ $case: 'copyRange', value: { source: ino, sourceOffset: 0n, ino: 9n, offset: 0n, length: 1n } }))
  t.ok(waits({ $case: 'rename', value: { parent: 1n, name, newParent: 1n, newName: name, flags: 0 } }))
  t.ok(waits({ $case: 'create', value: { ...create, flags: 1 } }), 'it may be this file')
  t.ok(waits({ $case: 'fsync', value: { ino: 1n } }, true), 'sync of everything')
  t.notOk(waits({ $case: 'create', value: { ...create, flags: 0o201 } }), 'a new file is another')
  t.notOk(waits({ $case: 'unlink', value: { parent: 1n, name } }))
  t.notOk(waits({ $case: 'getattr', value: { ino: 9n } }))
  t.notOk(waits({ $case: 'fsync', value: { ino: 9n } }))
  t.end()
})

void t.test(
  'an answer that tells of the file by its name is asked for again, if it lacks what was written before',
  (t) => {
    const { behind, take, through } = bench(t)
    through('a', { size: 1 })
    const before = behind.mark
    take('b')
    const entry: FileResult = { $case: 'entry', value: { attributes: attributesOf(ino), hold: undefined } }
    t.equal(behind.stale(entry, before), undefined, 'that came later')
    t.ok(behind.stale(entry, behind.mark))
    t.equal(behind.stale({ $case: 'entry', value: { attributes: attributesOf(9n) } }, behind.mark), undefined)
    t.end()
  },
)

void t.test('when leases were lost, the hold may be another’s by now: it is asked for anew', async (t) => {
  const { behind, coherence, take, through, next } = bench(t)
  const first = through('a', { size: 1 })
  t.ok(take('b'))
  await coherence.onDetached()
  t.notOk(take('c'), 'no leases')
  coherence.onProlonged(1e9)
  t.notOk(take('c'), 'others')
  const waits = behind.before(writeCall('c'), { all: false })
  const flush = await next()
  t.match(flush.call, { value: { hold: first } })
  flush.answer(written(2))
  await waits
  const second = through('c', { size: 3 })
  t.not(second, first)
  t.ok(take('d'))
})

void t.test('how long the file is is not known while something is held back that an answer lacks', (t) => {
  const { behind, take, through } = bench(t)
  through('abc', { size: 3 })
  const call = writeCall('X', { offset: 0n, append: false })
  t.ok(take('def'), 'after the other write had waited for all')
  const { asked } = behind.asking(call, { durable: true })
  t.notOk(take('g'), 'while it is under way')
  asked(written(3), undefined)
  t.notOk(take('g'), 'it would overwrite what is held back')
  t.end()
})

void t.test('who is asked for a hold writes what it has, gives it back, and leaves it for a while', async (t) => {
  const { behind, clock, take, through, next, sent } = bench(t)
  const number = through('a', { size: 1 }) ?? 0n
  take('b')
  behind.onRecallHold({ ino, number })
  behind.onRecallHold({ ino, number })
  t.notOk(take('c'))
  const flush = await next()
  t.match(flush.call, { $case: 'write', value: { hold: number } })
  await settled()
  t.same(sent, [], 'first the one')
  flush.answer(written(2))
  const release = await next()
  t.match(release.call, { $case: 'releaseHolds', value: { holds: [{ ino, number }] } })
  release.answer(done)
  await settled()
  t.equal(through('c', { size: 3 }), undefined)
  clock.ms = 2_001
  t.type(through('d', { size: 4 }), 'bigint')
  t.same(sent, [])
})

void t.test('a hold that nobody knows of here is given back at once, but not one that is on its way', async (t) => {
  const { behind, next, sent } = bench(t)
  const { asked, call } = behind.asking(writeCall('a'), { durable: false })
  const number = call.$case === 'write' ? (call.value.take ?? 0n) : 0n
  behind.onRecallHold({ ino, number })
  await settled()
  t.same(sent, [])
  behind.onRecallHold({ ino: 9n, number: 5n })
  t.match((await next()).call, { $case: 'releaseHolds', value: { holds: [{ ino: 9n, number: 5n }] } })
  asked(written(1, 4n), undefined)
  t.match(
    (await next()).call,
    { value: { holds: [{ ino, number: 4n }] } },
    'an earlier driver had asked, in these words',
  )
})

void t.test('holds of files that nobody writes to any more are given back together', async (t) => {
  const { behind, clock, open, next } = bench(t)
  for (const file of [11n, 12n, 13n]) {
    const value = { parent: file, name: Buffer.from('f'), mode: 0o644, umask: 0, flags: 0o201 }
    const { asked, call } = behind.asking({ $case: 'create', value }, { durable: false })
    const hold = call.$case === 'create' ? call.value.take : undefined
    asked({ $case: 'entry', value: { attributes: { ...attributesOf(file), size: 0n }, hold } }, undefined)
  }
  open.writing = false
  clock.ms = 600
  const { call } = await next()
  t.equal(call.$case === 'releaseHolds' && call.value.holds.length, 3)
})

void t.test('a request that is sent again is not held back: it may have gone out before', (t) => {
  const { take, through } = bench(t)
  through('a', { size: 1 })
  t.notOk(take('b', { resent: true }))
  t.ok(take('b'))
  t.end()
})
