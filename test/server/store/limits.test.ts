import { execFileSync } from 'node:child_process'
import { mkdirSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import type { Touched } from '../../../replication/work.ts'
import { encodeBody } from '../../../server/store/body.ts'
import { isOutOfSpace } from '../../../server/store/file-io.ts'
import { MetaFile } from '../../../server/store/meta-file.ts'
import { VolumeStore } from '../../../server/store/volume-store.ts'
import { waitFor } from '../../fixtures/wait.ts'
import { entryAfter, epoch, key, put, remove, seq, write } from './history.ts'
import { Writer } from './storage-suite.ts'
import { newDir, openStore, quiet, suited } from './volume-fixture.ts'

const touchedSince = (store: VolumeStore, after: number): Promise<Touched> =>
  new Promise((done) => store.touchedSince(seq(after), done))

function sizeOf(dir: string): number {
  return readdirSync(dir).reduce((sum, name) => sum + statSync(join(dir, name)).size, 0)
}

/** A file system of its own, of so many MiB and a thousand files. */
async function smallDisk(t: Test, mebibytes: number): Promise<string> {
  const dir = await newDir(t)
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${mebibytes}m,nr_inodes=1000`, 'banyan-test', dir])
  t.teardown(() => execFileSync('umount', ['-l', dir]))
  return dir
}

void t.test('a store belongs to one process, and a second opening changes nothing', async (t) => {
  const dir = join(await newDir(t), 'store')
  const store = await openStore(t, dir)
  const writer = new Writer(suited(t, dir, store))
  writer.do([put('a', '1')])
  await t.rejects(VolumeStore.open(dir, quiet), /in use by another process/)
  writer.do([put('a', '2')])
  await store.close()
  await (await openStore(t, dir)).close()
})

void t.test('a format that is newer, a damaged meta and a foreign folder are refused in words', async (t) => {
  const dir = join(await newDir(t), 'store')
  await (await openStore(t, dir)).close()
  const meta = MetaFile.open(join(dir, 'meta'))
  meta.update({ format: 2 })
  meta.close()
  await t.rejects(VolumeStore.open(dir, quiet), /has store format 2, and this program knows 1 at most/)
  writeFileSync(join(dir, 'meta'), Buffer.alloc(8192, 7))
  await t.rejects(VolumeStore.open(dir, quiet), /is damaged/)
  const foreign = join(await newDir(t), 'home')
  mkdirSync(foreign)
  writeFileSync(join(foreign, 'letter'), 'dear')
  await t.rejects(VolumeStore.open(foreign, quiet), /is no store/)
  t.same(readdirSync(foreign), ['letter'])
})

void t.test('a full disk takes no entry, loses none, and takes some again when there is room', async (t) => {
  const disk = await smallDisk(t, 48)
  const dir = join(disk, 'store')
  let store = await openStore(t, dir, { limits: { writeDelayMs: 5, reserveBytes: 4 << 20, chunkBytes: 4 << 20 } })
  let last = store.opened.last
  const append = (data: Buffer, at: number): 'appended' | 'full' => {
    const entry = entryAfter(store, last, epoch(1), encodeBody([write(5n, at, data), put('a', String(at))]))
    const outcome = store.append(entry)
    if (outcome === 'appended') {
      last = entry
      store.commit(entry.seq)
    }
    return outcome
  }
  const part = 300_000
  let at = 0
  await waitFor(
    () => {
      while (append(Buffer.alloc(part, 1 + (at % 250)), at) === 'appended') at += part
      return store.space().freeBytes < 12 << 20 || undefined
    },
    { what: 'the disk to be full', limitMs: 20_000, everyMs: 20 },
  )
  t.ok(at > 5 << 20, `${at} bytes were taken`)
  // Somebody else takes the rest, at once; what is committed must get to its place all the same.
  const filler = join(disk, 'filler')
  const fill = (): void => {
    try {
      writeFileSync(filler, Buffer.alloc(64 << 20))
    } catch {
      t.pass('nothing is left')
    }
  }
  fill()
  await new Promise<void>((done) => store.flush((outcome) => (t.equal(outcome, 'flushed'), done())))
  t.equal(append(Buffer.alloc(part, 7), at), 'full')
  rmSync(filler)
  const unlink = entryAfter(store, last, epoch(1), encodeBody([remove(5n), put('a', 'removed')]))
  await waitFor(() => store.append(unlink) === 'appended' || undefined, { what: 'room for a removal', limitMs: 5000 })
  store.commit(unlink.seq)
  last = unlink
  await waitFor(() => append(Buffer.alloc(part, 9), 0) === 'appended' || undefined, { what: 'room', limitMs: 5000 })
  await store.close()
  store = await openStore(t, dir)
  t.match(store.opened, { last: { seq: last.seq }, applied: last.seq, amnesia: false })
  t.ok(Buffer.from(await store.readBlob(5n, 0, 1 << 30)).equals(Buffer.alloc(part, 9)))
})

void t.test('what is committed waits for level while somebody else has filled the disk, and is not lost', async (t) => {
  const disk = await smallDisk(t, 32)
  const dir = join(disk, 'store')
  const failures: Error[] = []
  const limits = { writeDelayMs: 300, reserveBytes: 4 << 20, chunkBytes: 1 << 20 }
  let store = await openStore(t, dir, { limits, onFailure: (error) => failures.push(error) })
  let { last } = store.opened
  for (let index = 0; index < 500; index++) {
    const entry = entryAfter(store, last, epoch(1), encodeBody([put(`n${index}`, 'x'.repeat(200))]))
    t.equal(store.append(entry), 'appended')
    store.commit(entry.seq)
    last = entry
  }
  rmSync(join(dir, 'ballast'), { force: true }) // has been given away before
  const filler = join(disk, 'filler')
  try {
    writeFileSync(filler, Buffer.alloc(32 << 20))
  } catch {
    t.pass('nothing is left')
  }
  await waitFor(() => store.space().freeBytes < 1 << 20 || undefined, { what: 'a full disk', limitMs: 5000 })
  const until = performance.now() + 900 // several rounds of the writer
  await waitFor(() => performance.now() > until || undefined, { what: 'its rounds', limitMs: 5000 })
  t.same(failures, [])
  t.ok(store.backlog().overlayBytes > 0, 'it waits')
  rmSync(filler)
  await waitFor(() => store.backlog().overlayBytes === 0 || undefined, { what: 'room for level', limitMs: 5000 })
  await store.close()
  store = await openStore(t, dir)
  t.match(store.opened, { last: { seq: last.seq }, applied: last.seq, amnesia: false })
  t.ok(store.committed.get(key('n499')))
})

void t.test(
  'a store that finds the disk full all the same fails as full, and is whole when there is room',
  async (t) => {
    const disk = await smallDisk(t, 256)
    const dir = join(disk, 'store')
    const failures: Error[] = []
    const limits = { writeDelayMs: 5, reserveBytes: 1 << 20 }
    let store = await openStore(t, dir, { limits, onFailure: (error) => failures.push(error) })
    // There is room for bytes, which is looked at before, but for no further file: level must begin one after 16 MiB.
    const fillers = join(disk, 'fillers')
    mkdirSync(fillers)
    t.throws(() => {
      for (let index = 0; ; index++) writeFileSync(join(fillers, String(index)), '')
    }, /ENOSPC/)
    let { last } = store.opened
    await waitFor(
      () => {
        if (failures.length > 0) return true
        const entry = entryAfter(store, last, epoch(1), encodeBody([put(`n${last.seq + 1}`, 'x'.repeat(100_000))]))
        t.equal(store.append(entry), 'appended')
        store.commit(entry.seq)
        last = entry
        return undefined
      },
      { what: 'level to need another file', limitMs: 30_000, everyMs: 1 },
    )
    t.ok(isOutOfSpace(failures[0]), String(failures[0]))
    await store.close().catch(() => undefined)
    const refused = await VolumeStore.open(dir, { ...quiet, limits }).catch((error: unknown) => error)
    t.ok(isOutOfSpace(refused), String(refused))
    rmSync(fillers, { recursive: true })
    store = await openStore(t, dir, { limits })
    t.match(store.opened, { last: { seq: last.seq }, amnesia: false })
    // What was committed last may not be known as that any more: the primary says it again.
    for (let at = 1; at <= last.seq; at++) if (!store.pending.get(key(`n${at}`))) t.fail(`n${at} is lost`)
  },
)

void t.test('the journal stays bounded, and what is dropped is known as touched', async (t) => {
  const dir = join(await newDir(t), 'store')
  const limits = { segmentBytes: 20_000, journalBytesMax: 60_000, checkpointMs: 20, writeDelayMs: 1 }
  let store = await openStore(t, dir, { limits })
  const writer = new Writer(suited(t, dir, store))
  const count = 3000
  for (let index = 0; index < count; index++) {
    writer.do([put(`n${index}`, 'x'.repeat(40)), write(BigInt(index % 7), index, Buffer.alloc(9, 1))])
    if (index % 100 === 0) await new Promise(setImmediate)
  }
  await waitFor(() => sizeOf(join(dir, 'journal')) < 90_000 || undefined, {
    what: 'a bounded journal',
    limitMs: 10_000,
  })
  t.equal(store.read(seq(5), 1000), undefined)
  t.equal(store.markAt(seq(5)), undefined)
  t.ok(store.read(seq(count), 1000) !== undefined)
  for (let round = 0; round < 2; round++) {
    const touched = await touchedSince(store, 100)
    t.equal(touched.everything, false)
    const keys = new Set(touched.keys)
    for (let index = 100; index < count; index++) if (!keys.has(key(`n${index}`))) t.fail(`n${index} is missing`)
    t.equal(new Set(touched.ranges.map(({ blob }) => blob)).size, 7)
    t.same(store.touchedInTail(seq(count)).keys, [])
    await store.close()
    store = await openStore(t, dir, { limits })
    t.ok(store.opened.base.seq > 1000)
  }
})

void t.test('of what lies before a journal that began anew, everything may have been touched', async (t) => {
  const dir = join(await newDir(t), 'store')
  let store = await openStore(t, dir)
  const writer = new Writer(suited(t, dir, store))
  for (let index = 0; index < 20; index++) writer.do([put(`n${index}`, 'x')])
  const base = { epoch: epoch(2), seq: seq(10), chain: 7 }
  const history = [{ epoch: epoch(2), first: seq(1) }]
  store.beginResync(base, history, [])
  const next = entryAfter(store, base, epoch(2), encodeBody([put('later', 'y')]))
  t.equal(store.append(next), 'appended')
  store.commit(next.seq)
  for (let round = 0; round < 2; round++) {
    for (const after of [0, 5, 9]) {
      t.equal((await touchedSince(store, after)).everything, true, `after ${after}`)
      t.equal(store.touchedInTail(seq(after)).everything, true)
    }
    t.same((await touchedSince(store, 10)).keys, [key('later')])
    await store.close()
    store = await openStore(t, dir)
  }
})

void t.test('payloads that somebody may still want are kept, others are written over', async (t) => {
  const dir = join(await newDir(t), 'store')
  const store = await openStore(t, dir, { limits: { writeDelayMs: 1, chunkBytes: 1 << 20 } })
  const writer = new Writer(suited(t, dir, store))
  store.retain(seq(3))
  for (let index = 0; index < 12; index++) writer.do([write(5n, 0, Buffer.alloc(400_000, index))])
  const idle = (bytes: number) =>
    waitFor(() => store.backlog().stagingBytes === bytes || undefined, { what: `${bytes} in staging`, limitMs: 5000 })
  await idle(10 * 400_000)
  t.equal(store.read(seq(3), 1 << 30)?.length, 10)
  store.retain(seq(13))
  await idle(0)
  for (let index = 0; index < 200; index++) {
    writer.do([write(5n, 0, Buffer.alloc(400_000, index))])
    store.retain(seq(writer.last.seq + 1))
    if (index % 2 === 0) await idle(0)
  }
  t.ok(sizeOf(join(dir, 'staging')) < 8 << 20, `${sizeOf(join(dir, 'staging'))} bytes`)
})
