import { cp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { everything } from '../../../replication/work.ts'
import type { StoreOptions, VolumeStore } from '../../../server/store/volume-store.ts'
import { waitFor } from '../../fixtures/wait.ts'
import { bytes, epoch, key, put, remove, seq, truncate, write } from './history.ts'
import { resyncAll, Writer } from './storage-suite.ts'
import { copyOf, newDir, newSuited, openStore, suited } from './volume-fixture.ts'

/** Nothing goes to level by itself, and every payload has its own place in staging. */
const still: Partial<StoreOptions> = { limits: { writeDelayMs: 1 << 30 } }
const nextBoot: Partial<StoreOptions> = { ...still, bootId: 'boot 2' }

interface Member {
  readonly dir: string
  readonly store: VolumeStore
  readonly writer: Writer
}

async function member(t: Test, options: Partial<StoreOptions> = still): Promise<Member> {
  const dir = join(await newDir(t), 'store')
  const store = await openStore(t, dir, options)
  return { dir, store, writer: new Writer(suited(t, dir, store)) }
}

const flush = (store: VolumeStore): Promise<void> =>
  new Promise((done, failed) => {
    store.flush((outcome) => (outcome === 'flushed' ? done() : failed(new Error(outcome))))
  })

async function replace(from: string, to: string, part: string): Promise<void> {
  await rm(join(to, part), { recursive: true, force: true })
  await cp(join(from, part), join(to, part), { recursive: true })
}

/** Level as it is in one copy, everything else as in the other: what was written last to level was lost. */
async function withOldLevel(t: Test, dir: string, old: string): Promise<string> {
  const copy = await copyOf(t, dir)
  await replace(old, copy, 'state')
  return copy
}

const big = (fill: number, size = 200_000): Buffer => Buffer.alloc(size, fill)

async function blobIs(t: Test, store: VolumeStore, blob: bigint, expected: Uint8Array): Promise<void> {
  t.ok(Buffer.from(await store.readBlob(blob, 0, 1 << 30)).equals(expected), `blob ${blob}`)
}

void t.test(
  'only a host that went down without a clean stop makes a member forgetful, until it is told otherwise',
  async (t) => {
    const { dir, writer, store } = await member(t)
    writer.do([put('a', '1')])
    const running = await copyOf(t, dir)
    t.equal((await openStore(t, running, still)).opened.amnesia, false, 'the process died')
    await store.close()
    t.equal((await openStore(t, await copyOf(t, dir), nextBoot)).opened.amnesia, false, 'a clean stop')

    const crashed = await copyOf(t, running)
    await (await openStore(t, crashed, nextBoot)).close()
    const again = await openStore(t, crashed, nextBoot)
    t.equal(again.opened.amnesia, true, 'also after a clean stop of the process that found it')
    again.trustJournal()
    await again.close()
    t.equal((await openStore(t, crashed, nextBoot)).opened.amnesia, false, 'trusted')
  },
)

void t.test('what was flushed is there after level has lost it, though staging was used again', async (t) => {
  const { dir, store, writer } = await member(t, { limits: { writeDelayMs: 1, chunkBytes: 1 << 20 } })
  writer.do([put('a', '1'), write(5n, 0, big(1))])
  const old = await copyOf(t, dir)
  writer.do([put('a', '2'), write(5n, 100, bytes('small'))])
  for (let round = 0; round < 30; round++) writer.do([write(6n, 0, big(round, 500_000)), put('b', String(round))])
  writer.do([write(5n, 50, bytes('later')), truncate(5n, 150_000), write(7n, 0, big(7)), put('c', '3')])
  await flush(store)
  await waitFor(() => store.backlog().stagingBytes === 0 || undefined, { what: 'staging to be free', limitMs: 10_000 })
  const crashed = await withOldLevel(t, dir, old)
  const again = await openStore(t, crashed, nextBoot)
  const { opened } = again
  t.match(opened, { amnesia: true, last: { seq: 33 }, durable: 0 })
  t.ok(opened.applied >= 32, `applied ${opened.applied}`)
  again.commit(seq(33))
  for (const name of ['a', 'b', 'c']) t.same(again.committed.get(key(name)), writer.model.keys.get(key(name)), name)
  for (const blob of [5n, 6n, 7n]) await blobIs(t, again, blob, writer.model.blobs.get(blob) ?? big(0, 0))
})

void t.test('bytes that are only in the blob are not written over with what came before them', async (t) => {
  const { dir, store, writer } = await member(t)
  writer.do([write(5n, 0, big(1)), put('a', '1')])
  writer.do([truncate(5n, 10), write(6n, 0, bytes('first'))])
  writer.do([write(5n, 0, big(3)), put('a', '3')])
  writer.do([write(5n, 20, bytes('after')), remove(6n)])
  const crashed = await copyOf(t, dir)
  await replace(dir, crashed, 'journal')
  await store.close() // level is written, and the journal says so
  await replace(dir, crashed, 'journal')
  await replace(dir, crashed, 'blobs')
  for (const chunk of await readdir(join(crashed, 'staging')))
    await writeFile(join(crashed, 'staging', chunk), big(9, 900_000))
  const again = await openStore(t, crashed, nextBoot)
  t.match(again.opened, { applied: 4, amnesia: true })
  await blobIs(t, again, 5n, writer.model.blobs.get(5n) ?? big(0))
  await blobIs(t, again, 6n, big(0, 0))
  t.same(again.committed.get(key('a')), bytes('3'))
})

void t.test('an entry whose payload did not get to the disk is not there, nor is what follows', async (t) => {
  const { dir, writer } = await member(t)
  writer.do([put('a', '1')])
  writer.append([write(5n, 0, big(1))])
  writer.append([write(5n, 0, big(2)), put('a', '2')])
  writer.append([put('a', '3')])
  const crashed = await copyOf(t, dir)
  const chunk = join(crashed, 'staging', (await readdir(join(crashed, 'staging')))[0] ?? '')
  await writeFile(chunk, (await readFile(chunk)).fill(0, 250_000)) // the second payload
  t.match((await openStore(t, await copyOf(t, crashed), still)).opened, { last: { seq: 4 }, amnesia: false })
  const again = await openStore(t, crashed, nextBoot)
  t.match(again.opened, { last: { seq: 2 }, amnesia: true })
  again.commit(seq(2))
  await blobIs(t, again, 5n, big(1))
})

void t.test(
  'a journal that lost what level has makes nothing count as durable, and everything be compared',
  async (t) => {
    const { dir, store, writer } = await member(t)
    for (let round = 0; round < 5; round++) writer.do([put('a', String(round)), write(5n, 0, big(round))])
    const old = await copyOf(t, dir)
    for (let round = 5; round < 10; round++) writer.do([put('a', String(round)), write(5n, 0, big(round))])
    await store.close()
    const crashed = await copyOf(t, dir)
    await replace(old, crashed, 'journal')
    await replace(old, crashed, 'meta')
    const again = await openStore(t, crashed, nextBoot)
    const torn = { last: { seq: 5 }, applied: 10, durable: 0, amnesia: true }
    t.match(again.opened, torn)
    const item = { kind: 'range', blob: 5n, offset: 0, length: 200_000 } as const
    const digest = await new Promise((done) => again.digest(item, { detail: false }, done))
    t.match(digest, { damaged: [] }, 'no sum of before is trusted')
    await again.close()
    t.match((await openStore(t, crashed, nextBoot)).opened, torn, 'until it begins anew')
  },
)

void t.test('steps of a resync that level may have lost are done again', async (t) => {
  const from = await newSuited(t)
  const source = new Writer(from)
  for (let index = 0; index < 3000; index++) source.do([put(`n${index}`, `value ${index}`)])
  for (let blob = 1n; blob < 5n; blob++) source.do([write(blob, 0, big(Number(blob)))])
  const { dir, store } = await member(t, { limits: { writeDelayMs: 1 } })
  store.beginResync(source.last, [{ epoch: epoch(1), first: seq(1) }], everything)
  let steps = 0
  const cutAfter = (count: number) => () => {
    if (++steps > count) throw new Error('cut')
  }
  await t.rejects(
    resyncAll(from, suited(t, dir, store), () => source.last, cutAfter(2)),
    /cut/,
  )
  await flush(store)
  const old = await copyOf(t, dir)
  await t.rejects(
    resyncAll(from, suited(t, dir, store), () => source.last, cutAfter(4)),
    /cut/,
  )
  await flush(store)
  const before = store.resync()?.remaining.length
  const crashed = await withOldLevel(t, dir, old)
  const again = await openStore(t, crashed, nextBoot)
  t.ok(again.opened.resync !== undefined)
  t.ok((again.opened.resync?.progress.itemsDone ?? 9) < 5, `of ${before}`)
  await resyncAll(from, suited(t, crashed, again), () => source.last)
  for (const index of [0, 1500, 2999]) t.same(again.committed.get(key(`n${index}`)), bytes(`value ${index}`))
  for (let blob = 1n; blob < 5n; blob++) await blobIs(t, again, blob, big(Number(blob)))
  await flush(again)
  again.endResync()
  await again.close()
  t.match((await openStore(t, crashed, nextBoot)).opened, { resync: undefined, amnesia: false })
})
