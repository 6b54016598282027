import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Level } from 'level'
import t, { type Test } from 'tap'
import type { Key } from '../../../proto/ids.ts'
import type { ItemDigest } from '../../../replication/ports.ts'
import { everything, type Wanted, type WorkItem } from '../../../replication/work.ts'
import { BlobFiles } from '../../../server/store/blob-files.ts'
import { frame, intact, seal } from '../../../server/store/seal.ts'
import { VolumeStore } from '../../../server/store/volume-store.ts'
import { bytes, epoch, key, put, seq, write } from './history.ts'
import { resyncAll, Writer } from './storage-suite.ts'
import { copyOf, newDir, openStore, quiet, suited } from './volume-fixture.ts'

const digest = (store: VolumeStore, item: WorkItem, detail = false): Promise<ItemDigest> =>
  new Promise((done) => store.digest(item, { detail }, done))

const slice = (
  store: VolumeStore,
  item: WorkItem,
): Promise<{ readonly damaged: boolean; readonly movedBytes: number }> =>
  new Promise((done) => store.readSlice({ item, digests: new Uint8Array(0) }, done))

async function filled(t: Test): Promise<{ dir: string; store: VolumeStore; writer: Writer }> {
  const dir = join(await newDir(t), 'store')
  const store = await openStore(t, dir)
  const writer = new Writer(suited(t, dir, store))
  for (let index = 0; index < 20; index++) writer.do([put(`n${index}`, `value ${index}`)])
  writer.do([write(5n, 0, Buffer.alloc(300_000, 5)), write(1n << 45n, 0, bytes('far'))])
  for (let at = 0; at < 100_000; at += 10_000) writer.do([write(6n, at, Buffer.alloc(10_000, at))])
  return { dir, store, writer }
}

function flip(dir: string, blob: bigint, at: number): void {
  const path = new BlobFiles(join(dir, 'blobs', 'files')).pathOf(blob)
  const contents = readFileSync(path)
  contents[at] = (contents[at] ?? 0) ^ 1
  writeFileSync(path, contents)
}

const range = (blob: bigint, length: number): WorkItem => ({ kind: 'range', blob, offset: 0, length })

void t.test('a flipped byte in a blob is found, named, and not passed on', async (t) => {
  const { dir, store } = await filled(t)
  for (const [blob, size] of [
    [5n, 300_000],
    [6n, 100_000],
    [1n << 45n, 3],
  ] as const) {
    t.match(await digest(store, range(blob, size)), { damaged: [] })
    flip(dir, blob, size - 1)
    const block = Math.floor((size - 1) / 65536) * 65536
    t.same((await digest(store, range(blob, size))).damaged, [`${blob}:${block}`])
    t.match(await slice(store, range(blob, size)), { damaged: true, movedBytes: 0 })
  }
  t.match(await slice(store, { kind: 'range', blob: 5n, offset: 0, length: 1000 }), { damaged: false }, 'another block')
})

void t.test('sums are known after a restart, and mended by a slice', async (t) => {
  const { dir, store, writer } = await filled(t)
  await store.close()
  flip(dir, 5n, 70_000)
  const again = await openStore(t, dir)
  t.same((await digest(again, range(5n, 300_000))).damaged, ['5:65536'])
  const good = await filled(t)
  again.beginResync(writer.last, [{ epoch: epoch(1), first: seq(1) }], [range(5n, 300_000)])
  const moved = await resyncAll(suited(t, good.dir, good.store), suited(t, dir, again), () => writer.last)
  t.equal(moved, 4096, 'no more than the piece with the byte')
  const whole = await digest(again, range(5n, 300_000), true)
  t.same(whole.damaged, [])
  t.same(whole.digest, (await digest(good.store, range(5n, 300_000))).digest)
  t.ok(whole.detail.some(([part]) => part === '5:65536'))
})

for (const [what, work] of [
  ['some ranges', [range(5n, 300_000), range(6n, 100_000)]],
  ['everything', everything],
] as const) {
  void t.test(`slices of ${what} that a kill parts from their sums leave no wrong ones`, async (t) => {
    const source = await filled(t)
    source.writer.do([
      { kind: 'blob.truncate', blob: 5n, size: 200_000 },
      write(5n, 65_536, Buffer.alloc(65_536, 1)),
      write(6n, 70_000, Buffer.alloc(500, 2)),
    ])
    const { dir, store } = await filled(t)
    await store.close() // the old sums are in level
    const member = await openStore(t, dir, { limits: { writeDelayMs: 1 << 30 } })
    member.beginResync(source.writer.last, [{ epoch: epoch(1), first: seq(1) }], work)
    const from = suited(t, source.dir, source.store)
    await resyncAll(from, suited(t, dir, member), () => source.writer.last)
    const killed = await copyOf(t, dir) // contents are in their files, their sums are not in level, nor the steps
    const said = member.resync()?.progress
    const again = await openStore(t, killed)
    t.same(again.opened.resync?.progress, said, 'what was said to be done is done')
    t.ok((again.opened.resync?.remaining.length ?? 0) > 0, 'the steps are made again')
    await resyncAll(from, suited(t, killed, again), () => source.writer.last)
    for (const item of [range(5n, 200_000), range(6n, 100_000)]) {
      t.same(await digest(again, item), await digest(source.store, item))
    }
    flip(killed, 5n, 65_600)
    t.same((await digest(again, range(5n, 200_000))).damaged, ['5:65536'], 'what the source knew is known here')
  })
}

void t.test('a key that is gone from level, and a value that is spoilt, are seen in the digest', async (t) => {
  const one = await filled(t)
  const other = await filled(t)
  const item = everything[0] as WorkItem
  t.same((await digest(one.store, item)).digest, (await digest(other.store, item)).digest)
  await one.store.close()
  const level = new Level<Buffer, Uint8Array>(join(one.dir, 'state'), { keyEncoding: 'buffer', valueEncoding: 'view' })
  await level.del(Buffer.from(key('n3'), 'latin1'))
  const value = seal(frame(3, 1, 10))
  value[4] = (value[4] ?? 0) ^ 8
  await level.put(Buffer.from(key('n4'), 'latin1'), value)
  await level.close()
  const { valueIsSound: _, ...checking } = quiet
  const again = await VolumeStore.open(one.dir, checking)
  t.teardown(() => again.close())
  const [broken, whole] = [await digest(again, item, true), await digest(other.store, item, true)]
  t.notSame(broken.digest, whole.digest)
  const differing = whole.detail.filter(
    ([part, of]) => !broken.detail.some(([name, found]) => name === part && found === of),
  )
  t.same(
    differing.map(([part]) => part),
    [key('n3'), key('n4')],
  )
  t.ok(broken.damaged.includes(key('n4')))
  t.match(await slice(again, { kind: 'keys', keys: [key('n4')] }), { damaged: true })
})

// A mirror that has to compare everything, and a source that has gone bad in one place meanwhile: had it to bring over what is
// whole at the mirror, nobody would get in sync again.
for (const [what, work, known] of [
  ['a part of it', [{ kind: 'range', blob: 5n, offset: 69_500, length: 1000 }], []],
  ['it', [{ kind: 'range', blob: 5n, offset: 65_536, length: 65_536 }], ['5:65536']],
  ['its blob', [range(5n, 300_000)], ['5:65536']],
  ['everything', everything, ['5:65536']],
] as const) {
  void t.test(
    `a block that is damaged at the source, and whole at who asks for ${what}, is left as it is there`,
    async (t) => {
      const source = await filled(t)
      const mirror = await filled(t)
      source.writer.do([write(5n, 200_000, Buffer.alloc(500, 1))])
      flip(source.dir, 5n, 70_000)
      mirror.store.beginResync(source.writer.last, [{ epoch: epoch(1), first: seq(1) }], work)
      const to = suited(t, mirror.dir, mirror.store)
      await resyncAll(suited(t, source.dir, source.store), to, () => source.writer.last)
      t.equal(mirror.store.resync()?.remaining.length, 0)
      t.same((await digest(mirror.store, range(5n, 300_000))).damaged, [])
      t.same(await mirror.store.readBlob(5n, 65_536, 65_536), Buffer.alloc(65_536, 5))
      flip(mirror.dir, 5n, 70_000)
      t.same((await digest(mirror.store, range(5n, 300_000))).damaged, known, 'the sum of a whole block is known')
    },
  )
}

void t.test(
  'a block that is damaged at the source, and is not what belongs there at who asks, is not passed on',
  async (t) => {
    const source = await filled(t)
    const mirror = await filled(t)
    flip(source.dir, 5n, 70_000)
    flip(mirror.dir, 5n, 70_000) // the very same bytes: they are as bad there
    const item = range(5n, 300_000)
    const wanted = await new Promise<Wanted>((done) => mirror.store.describe(item, done))
    const read = await new Promise<{ readonly damaged: boolean }>((done) => source.store.readSlice(wanted, done))
    t.match(read, { damaged: true })
  },
)

void t.test('a value that is damaged at the source, and whole at who asks, is left as it is there', async (t) => {
  const options = { valueIsSound: (name: Key, value: Uint8Array) => name !== key('spoilt') || intact(value) }
  const members: { readonly dir: string; readonly store: VolumeStore; readonly writer: Writer }[] = []
  const whole = seal(Buffer.from(frame(3, 1, 10).fill(7)))
  const spoilt = Uint8Array.from(whole).fill(8, 3, 4)
  const other = seal(Buffer.from(frame(3, 1, 10).fill(9)))
  for (const value of [spoilt, whole, other, spoilt]) {
    const dir = join(await newDir(t), 'store')
    const store = await openStore(t, dir, options)
    const writer = new Writer(suited(t, dir, store))
    writer.do([put('sound', 'value'), { kind: 'put', key: key('spoilt'), value }])
    members.push({ dir, store, writer })
  }
  const [source, ...mirrors] = members
  if (source === undefined) throw new Error('no source')
  for (const work of [[{ kind: 'keys', keys: [key('sound'), key('spoilt')] } as const], everything]) {
    for (const [index, { dir, store }] of mirrors.entries()) {
      store.beginResync(source.writer.last, [{ epoch: epoch(1), first: seq(1) }], work)
      const resynced = resyncAll(suited(t, source.dir, source.store), suited(t, dir, store), () => source.writer.last)
      if (index > 0) await t.rejects(resynced, { message: /damaged/ }, 'what belongs there is not known')
      else {
        await resynced
        t.same(store.committed.get(key('spoilt')), whole)
        t.equal(store.resync()?.remaining.length, 0)
      }
    }
  }
})
