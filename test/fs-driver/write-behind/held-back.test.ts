import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import fc from 'fast-check'
import t, { type Test } from 'tap'
import type { CallIdentity, FileResult } from '../../../fs-driver/router/file-client.ts'
import { ExtentFile } from '../../../fs-driver/write-behind/extent-file.ts'
import { HeldBack, type HeldWrite } from '../../../fs-driver/write-behind/held-back.ts'
import { type Errno, FsError } from '../../../proto/errno.ts'
import type { Caller, Write } from '../../../proto/generated/file-service.ts'
import { quietCaches } from '../../fixtures/quiet-caches.ts'
import { seed } from '../../fixtures/random.ts'

interface Sent {
  readonly write: Write
  readonly how: CallIdentity
  readonly resolve: (result: FileResult) => void
  readonly reject: (error: FsError) => void
}

const caller: Caller = { uid: 0, gid: 0, groups: [], pid: 1 }
const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))
const written: FileResult = { $case: 'written', value: { length: 0, offset: 0n, size: 0n } }

/** Held back here; what is sent waits for the test. */
function bench(t: Pick<Test, 'teardown'>, { cached = false } = {}) {
  const folder = mkdtempSync(path.join(tmpdir(), 'banyan-held-'))
  const clock = { ms: 0 }
  const sent: Sent[] = []
  const failed: string[] = []
  const open: ExtentFile[] = []
  t.teardown(() => {
    for (const file of open) file.close()
    rmSync(folder, { recursive: true })
  })
  const begin = (resend: boolean): HeldBack => {
    const file = new ExtentFile(path.join(folder, 'writes'), { resend })
    open.push(file)
    const { coherence } = quietCaches({
      kernel: { forgetNames: () => {}, forgetAttributes: () => true, forgetPages: async () => {} },
      open: { isOpenForWriting: () => true, isOpenCached: () => cached },
      nowMs: () => clock.ms,
    })
    return new HeldBack({
      client: () => ({
        call: (call, _caller, how) =>
          new Promise((resolve, reject) => {
            if (call.$case !== 'write') throw new Error(call.$case)
            sent.push({ write: call.value, how, resolve, reject })
          }),
      }),
      coherence,
      file,
      nowMs: () => clock.ms,
      onFailed: (ino: bigint, errno: Errno) => void failed.push(`${ino} ${errno}`),
      log: { debug: () => {}, info: () => {}, error: () => {} },
    })
  }
  const answer = (one: Sent): void => {
    one.how.onOutcome?.({ kind: 'result', result: written }, [])
    one.resolve(written)
  }
  return { begin, clock, sent, failed, answer }
}

const write = (offset: number, text: string, fields: Partial<HeldWrite> = {}): HeldWrite => ({
  ino: 7n,
  hold: 3n,
  offset: BigInt(offset),
  data: Buffer.from(text),
  killPrivileges: false,
  caller,
  unique: 2n,
  ...fields,
})

void t.test('writes that continue each other are sent as one, soon', async (t) => {
  const { begin, clock, sent, answer } = bench(t)
  const held = begin(false)
  t.ok(held.add(write(10, 'abc')))
  clock.ms = 60
  t.ok(held.add(write(13, 'def')))
  t.ok(held.add(write(11, 'XY')), 'into it as well')
  held.onTick()
  t.same(sent, [])
  clock.ms = 100
  held.onTick()
  t.equal(sent.length, 1)
  const [first] = sent
  if (first === undefined) return
  t.equal(first.write.data.toString(), 'aXYdef')
  t.same([first.write.offset, first.write.hold, first.write.append], [10n, 3n, false])
  t.ok(first.how.urgent && first.how.patient)
  t.ok(held.isDirty(7n), 'until it is answered')
  answer(first)
  t.ok(held.isEmpty)
})

void t.test(
  'what overlaps waits, what does not goes beside it, and who waits for all waits for what was there',
  async (t) => {
    const { begin, sent, answer } = bench(t)
    const held = begin(false)
    held.add(write(0, 'aaaa'))
    held.add(write(100, 'bbbb'))
    held.add(write(2, 'cccc'))
    let all = false
    void held.sent('all').then(() => {
      all = true
    })
    t.same(
      sent.map((one) => one.write.data.toString()),
      ['aaaa', 'bbbb'],
    )
    held.add(write(500, 'later'))
    for (const one of sent.splice(0)) answer(one)
    await settled()
    t.same(
      sent.map((one) => one.write.data.toString()),
      ['cccc'],
    )
    t.notOk(all)
    for (const one of sent.splice(0)) answer(one)
    await settled()
    t.ok(all, 'though something came later')
    t.notOk(held.isEmpty)
    t.notOk(held.isOwed(7n, 3))
    t.ok(held.isOwed(7n, 4))
  },
)

void t.test('other callers, holds and rights are not mixed', (t) => {
  const { begin, sent } = bench(t)
  const held = begin(false)
  held.add(write(0, 'a'))
  held.add(write(1, 'b', { caller: { ...caller, uid: 5 } }))
  held.add(write(2, 'c', { caller: { ...caller, uid: 5 }, killPrivileges: true }))
  held.add(write(3, 'd', { hold: 4n, caller: { ...caller, uid: 5 }, killPrivileges: true }))
  void held.sent([7n])
  t.same(
    sent.map((one) => one.write.data.toString()),
    ['a', 'b', 'c', 'd'],
  )
  t.end()
})

void t.test('so much of one file is held back, and no more', (t) => {
  const { begin, sent } = bench(t)
  const held = begin(false)
  const all = Array.from({ length: 20 }, (_, index) => held.add(write(index * 100, 'apart')))
  t.same(all.lastIndexOf(true), 15)
  t.ok(held.add(write(1505, 'goes on')), 'where it ends')
  t.ok(held.add(write(0, 'other', { ino: 8n })))
  t.equal(sent.length, 4, 'a few at once')
  t.end()
})

void t.test('what fails is said, unless the file is gone', async (t) => {
  const { begin, sent, failed } = bench(t)
  const held = begin(false)
  held.add(write(0, 'a'))
  held.add(write(0, 'b', { ino: 8n }))
  const all = held.sent('all')
  sent[0]?.reject(new FsError('EIO', 'fenced'))
  sent[1]?.reject(new FsError('ESTALE', 'removed'))
  await all
  t.same(failed, ['7 EIO'])
  t.ok(held.isEmpty)
})

void t.test('nothing is held back of a file of which the kernel may have pages', (t) => {
  const { begin } = bench(t, { cached: true })
  const held = begin(false)
  t.notOk(held.add(write(0, 'a')), 'somebody reads it through them')
  t.ok(held.isEmpty)
  t.end()
})

void t.test('the next driver sends the same under the same names, and knows which request was the last', async (t) => {
  const { begin, clock, sent, answer } = bench(t)
  const first = begin(false)
  first.add(write(0, 'one', { unique: 20n }))
  first.add(write(3, 'two', { unique: 22n }))
  first.add(write(900, 'three', { unique: 24n }))
  clock.ms = 200
  first.onTick()
  const before = sent.splice(0).map(({ how, write: { data } }) => [how.unique, data.toString()])
  const second = begin(true)
  t.same(
    [20n, 22n, 24n, 26n].map((unique) => second.hasInherited(unique)),
    [false, true, true, false],
  )
  t.same(
    [...second.left()].map(({ hold }) => hold),
    [3n, 3n],
  )
  second.onTick()
  t.same(
    sent.map(({ how, write: { data } }) => [how.unique, data.toString()]),
    before,
  )
  for (const one of sent.splice(0)) answer(one)
  await settled()
  t.ok(second.isEmpty)
  t.same([...begin(true).left()], [], 'nothing is left of it')
})

void t.test('whatever is written in whatever order, the file becomes what was written', async (t) => {
  const step = fc.record({
    offset: fc.nat({ max: 40 }),
    data: fc.uint8Array({ minLength: 1, maxLength: 20 }),
    after: fc.constantFrom('nothing', 'nothing', 'send', 'answer', 'restart'),
    which: fc.nat(),
  })
  const teardowns: (() => void)[] = []
  t.teardown(() => teardowns.forEach((end) => end()))
  t.comment(`BANYAN_SEED=${seed}`)
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 30 }), async (steps) => {
      const { begin, sent, answer } = bench({ teardown: (end) => void teardowns.push(end as () => void) })
      let held = begin(false)
      const want = Buffer.alloc(64)
      const got = Buffer.alloc(64)
      /** By name: a server executes each once. */
      const executed = new Set<bigint>()
      const execute = (one: Sent): void => {
        if (!executed.has(one.how.unique)) got.set(one.write.data, Number(one.write.offset))
        executed.add(one.how.unique)
        answer(one)
      }
      for (const { offset, data, after, which } of steps) {
        if (!held.add(write(offset, '', { data }))) throw new Error('not held back')
        want.set(data, offset)
        if (after === 'send') void held.sent('all')
        if (after === 'answer' && sent.length > 0) execute(sent.splice(which % sent.length, 1)[0] as Sent)
        if (after === 'restart') {
          // What went out may have been executed, all or in part.
          for (const one of sent.splice(0))
            if (which % 2 === 0) {
              got.set(one.write.data, Number(one.write.offset))
              executed.add(one.how.unique)
            }
          held = begin(true)
        }
        await settled()
      }
      const all = held.sent('all')
      while (!held.isEmpty) {
        await settled()
        for (const one of sent.splice(0)) execute(one)
      }
      await all
      return got.equals(want)
    }),
    { numRuns: 200, seed },
  )
})
