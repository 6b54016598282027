import { createHash } from 'node:crypto'
import t, { type Test } from 'tap'
import type { Key } from '../../../proto/ids.ts'
import type { Entry, Mark } from '../../../replication/entry.ts'
import type { Storage } from '../../../replication/ports.ts'
import type { Slice, Touched, Wanted, WorkItem } from '../../../replication/work.ts'
import { everything, workFor } from '../../../replication/work.ts'
import type { Effect } from '../../../server/store/effect.ts'
import { bytes, del, entryAfter, epoch, key, Model, put, remove, seq, truncate, write } from './history.ts'

/** An implementation of the port `Storage`, with what a test needs beside it. */
export interface SuiteStorage {
  readonly storage: Storage
  encode(effects: readonly Effect[]): Uint8Array
  /** Committed state. */
  get(key: Key): Uint8Array | undefined
  blob(blob: bigint): Promise<Uint8Array>
  /** Lets time pass until what was asked for is answered. */
  settled<T>(answer: Promise<T>): Promise<T>
  /** As after kill -9 of the process, and a new start. The old one is not used any more. */
  reopen(): Promise<SuiteStorage>
}

export interface SuiteOptions {
  readonly newStorage: (t: Test) => Promise<SuiteStorage>
  /** Blobs of the suite are a few times as long. */
  readonly unitBytes: number
}

/** A member that takes and commits entries, and knows what they make. */
export class Writer {
  readonly model = new Model()
  #at: SuiteStorage
  #last: Mark
  #waiting: { readonly mark: Mark; readonly effects: readonly Effect[] }[] = []

  constructor(at: SuiteStorage) {
    this.#at = at
    this.#last = at.storage.opened.last
  }

  get last(): Mark {
    return this.#last
  }

  append(effects: readonly Effect[], of = epoch(1)): Entry {
    const entry = entryAfter(this.#at.storage, this.#last, of, this.#at.encode(effects))
    if (this.#at.storage.append(entry) !== 'appended') throw new Error('full')
    this.#last = entry
    this.#waiting.push({ mark: entry, effects })
    return entry
  }

  commit(to = this.#last.seq): void {
    this.#at.storage.commit(to)
    for (const { effects } of this.#waiting.filter(({ mark }) => mark.seq <= to)) this.model.apply(effects)
    this.#waiting = this.#waiting.filter(({ mark }) => mark.seq > to)
  }

  do(effects: readonly Effect[], of = epoch(1)): Entry {
    const entry = this.append(effects, of)
    this.commit()
    return entry
  }

  cut(to: Mark): void {
    this.#at.storage.cut(to.seq)
    this.#last = to
    this.#waiting = this.#waiting.filter(({ mark }) => mark.seq <= to.seq)
  }

  async reopen(): Promise<SuiteStorage> {
    this.#at = await this.#at.reopen()
    return this.#at
  }
}

const ask = <T>(at: SuiteStorage, call: (done: (value: T) => void) => void): Promise<T> => at.settled(new Promise(call))

const flush = (at: SuiteStorage): Promise<readonly [string, number]> =>
  ask(at, (done) => at.storage.flush((outcome, upTo) => done([outcome, upTo])))

const touchedSince = (at: SuiteStorage, after: number): Promise<Touched> =>
  ask(at, (done) => at.storage.touchedSince(seq(after), done))

const digest = async (at: SuiteStorage, item: WorkItem): Promise<string> => {
  const found = await ask<{ digest: Uint8Array }>(at, (done) => at.storage.digest(item, { detail: false }, done))
  return Buffer.from(found.digest).toString('hex')
}

async function same(
  t: Test,
  at: SuiteStorage,
  model: Model,
  names: readonly string[],
  blobs: readonly bigint[],
): Promise<void> {
  for (const name of names) {
    t.same(text(at.get(key(name))), text(model.keys.get(key(name))), `key ${name}`)
  }
  for (const blob of blobs) {
    const found = Buffer.from(await at.blob(blob))
    t.ok(found.equals(model.blobs.get(blob) ?? Buffer.alloc(0)), `blob ${blob} of ${found.length} bytes`)
  }
}

const text = (value: Uint8Array | undefined): string | undefined =>
  value === undefined ? undefined : Buffer.from(value).toString('latin1')

/** Brings `to` over from `from` as a replica does, an item at a time; `between` runs between fetch and answer. */
export async function resyncAll(
  from: SuiteStorage,
  to: SuiteStorage,
  at: () => Mark,
  between = () => {},
): Promise<number> {
  let moved = 0
  for (let item = to.storage.resync()?.remaining[0]; item !== undefined; item = to.storage.resync()?.remaining[0]) {
    const asked = item
    const described = await ask<{ wanted: Wanted; rest: WorkItem | undefined }>(to, (done) =>
      to.storage.describe(asked, (wanted, rest) => done({ wanted, rest })),
    )
    between()
    const slice = await ask<Slice>(from, (done) =>
      from.storage.readSlice(described.wanted, (read) => done({ ...read, at: at().seq })),
    )
    const rest = [slice.rest, described.rest].filter((left): left is WorkItem => left !== undefined)
    if (to.storage.applySlice(slice, rest) !== 'applied') throw new Error('full')
    moved += slice.movedBytes
  }
  return moved
}

/** What every implementation of `Storage` does. */
export function runStorageSuite(name: string, options: SuiteOptions): void {
  void t.test(`${name}: the journal`, (t) => journalCases(t, options))
  void t.test(`${name}: state`, (t) => stateCases(t, options))
  void t.test(`${name}: resync`, (t) => resyncCases(t, options))
}

async function journalCases(t: Test, { newStorage, unitBytes }: SuiteOptions): Promise<void> {
  await t.test('entries are read back as they were appended, at least one', async (t) => {
    const at = await newStorage(t)
    const writer = new Writer(at)
    const big = new Uint8Array(unitBytes * 4).fill(7)
    const entries = [
      writer.append([]),
      writer.append([put('a', '1')]),
      writer.append([write(5n, 0, big), put('b', '2')]),
    ]
    const found = at.storage.read(seq(1), 1 << 30) ?? []
    t.same(found.map(plain), entries.map(plain))
    t.equal(at.storage.read(seq(1), 1)?.length, 1)
    t.same(at.storage.markAt(seq(2)), markOf(entries[1]))
    t.same(at.storage.markAt(seq(0)), { epoch: 0, seq: 0, chain: 0 })
  })
  await t.test('what was cut is forgotten, and others take its place', async (t) => {
    let at = await newStorage(t)
    const writer = new Writer(at)
    const first = writer.do([put('a', '1')])
    writer.append([put('a', 'never'), put('b', 'never')])
    writer.append([write(5n, 0, bytes('never'))])
    writer.cut(first)
    t.same(at.storage.markAt(seq(1)), markOf(first))
    const second = writer.do([put('c', '2')], epoch(4))
    t.same(at.storage.read(seq(2), 1000)?.map(plain), [plain(second)])
    await same(t, at, writer.model, ['a', 'b', 'c'], [5n])
    at = await writer.reopen()
    t.same(at.storage.opened.history, [
      { epoch: 1, first: 1 },
      { epoch: 4, first: 2 },
    ])
    t.same(at.storage.opened.last, markOf(second))
  })
  await t.test('what was appended survives the process, and so does the greatest epoch', async (t) => {
    const at = await newStorage(t)
    const writer = new Writer(at)
    writer.do([put('a', '1'), write(5n, 10, bytes('hello'))])
    writer.append([put('a', '2')])
    const last = writer.append([write(5n, 0, new Uint8Array(unitBytes * 3).fill(9)), put('b', '3')])
    at.storage.storeEpoch(epoch(9))
    const again = await writer.reopen()
    const { opened } = again.storage
    t.same(opened.last, markOf(last))
    t.equal(opened.epoch, 9)
    t.equal(opened.amnesia, false)
    t.ok(opened.applied <= 1, `applied ${opened.applied}`)
    writer.commit()
    await same(t, again, writer.model, ['a', 'b'], [5n])
  })
  await t.test('flushes are answered in order, each later than its call, with what was there', async (t) => {
    const at = await newStorage(t)
    const writer = new Writer(at)
    writer.do([put('a', '1')])
    let early = true
    const first = ask<number>(at, (done) => at.storage.flush((_outcome, upTo) => (t.notOk(early), done(upTo))))
    early = false
    writer.append([put('a', '2')])
    const second = flush(at)
    t.ok((await first) >= 1)
    t.same(await second, ['flushed', 2])
  })
}

const plain = (entry: Entry) => ({ mark: markOf(entry), body: createHash('sha256').update(entry.body).digest('hex') })
const markOf = (entry: Mark | undefined): unknown =>
  entry === undefined ? undefined : { epoch: entry.epoch, seq: entry.seq, chain: entry.chain }

async function stateCases(t: Test, { newStorage, unitBytes }: SuiteOptions): Promise<void> {
  await t.test('nothing is visible before its commit, everything at once after', async (t) => {
    const at = await newStorage(t)
    const writer = new Writer(at)
    writer.do([put('a', '1'), put('gone', '1'), write(5n, 0, bytes('one'))])
    writer.append([put('a', '2'), del('gone'), write(5n, 1, bytes('X'))])
    writer.append([put('a', '3'), truncate(5n, unitBytes), remove(6n)])
    await same(t, at, writer.model, ['a', 'gone'], [5n])
    writer.commit(seq(2))
    await same(t, at, writer.model, ['a', 'gone'], [5n])
    writer.commit(seq(3))
    await same(t, at, writer.model, ['a', 'gone'], [5n])
  })
  await t.test('gaps read as zeros, what was cut off does not come back', async (t) => {
    const at = await newStorage(t)
    const writer = new Writer(at)
    writer.do([write(5n, unitBytes + 3, bytes('end'))])
    writer.do([truncate(5n, 4), write(5n, unitBytes * 2, bytes('far'))])
    writer.do([write(6n, 0, bytes('x')), remove(6n), write(6n, 2, bytes('y'))])
    await same(t, at, writer.model, [], [5n, 6n])
  })
  await t.test('a digest is of the moment of its call', async (t) => {
    const at = await newStorage(t)
    const writer = new Writer(at)
    writer.do([put('a', '1'), put('b', '2'), write(5n, 0, new Uint8Array(unitBytes * 2).fill(1))])
    const items: WorkItem[] = [
      { kind: 'keys', keys: [key('a'), key('none')] },
      ...everything,
      { kind: 'range', blob: 5n, offset: 0, length: unitBytes * 2 },
    ]
    const before = await Promise.all(items.map((item) => digest(at, item)))
    const asked = Promise.all(items.map((item) => digest(at, item)))
    writer.do([
      put('a', '9'),
      put('c', '3'),
      write(5n, unitBytes, new Uint8Array(unitBytes * 2).fill(3)),
      write(6n, 0, bytes('z')),
    ])
    t.same(await asked, before)
    const after = await Promise.all(items.map((item) => digest(at, item)))
    for (const [index, item] of items.entries()) t.not(after[index], before[index], item.kind)
  })
  await t.test('what was touched since is never less than what was', async (t) => {
    const at = await newStorage(t)
    const writer = new Writer(at)
    writer.do([put('old', '1'), write(4n, 0, bytes('old'))])
    writer.do([put('a', '1'), write(5n, 8, bytes('12345678'))])
    writer.do([del('b'), truncate(6n, 3), remove(7n)])
    writer.append([put('tail', '1'), write(8n, 0, bytes('tail'))])
    const touched = await touchedSince(at, 1)
    const isAll = touched.everything
    for (const name of ['a', 'b']) t.ok(isAll || touched.keys.includes(key(name)), name)
    for (const blob of [5n, 6n, 7n]) t.ok(isAll || touched.ranges.some((range) => range.blob === blob), `blob ${blob}`)
    const five = touched.ranges.find((range) => range.blob === 5n)
    t.ok(isAll || (five !== undefined && five.offset <= 8 && five.offset + five.length >= 16))
    const tail = at.storage.touchedInTail(seq(3))
    t.ok(tail.everything || tail.keys.includes(key('tail')))
    t.ok(tail.everything || tail.ranges.some((range) => range.blob === 8n))
  })
}

async function resyncCases(t: Test, options: SuiteOptions): Promise<void> {
  const { newStorage, unitBytes } = options
  const names = Array.from({ length: 40 }, (_, index) => `n${index}`)
  const fill = (writer: Writer) => {
    for (const name of names) writer.do([put(name, `value of ${name}`)])
    for (let blob = 1n; blob <= 6n; blob++) {
      writer.do([write(blob, 0, new Uint8Array(unitBytes * 5 + Number(blob)).fill(Number(blob)))])
    }
    writer.do([truncate(1n, unitBytes * 12), truncate(2n, unitBytes), remove(3n)])
  }
  await t.test('an empty member becomes equal, while entries go on', async (t) => {
    const from = await newStorage(t)
    const to = await newStorage(t)
    const source = new Writer(from)
    fill(source)
    to.storage.beginResync(source.last, from.storage.opened.history, everything)
    let round = 0
    const live = () => {
      const entry = source.do([
        put(`n${(round * 7) % 45}`, `live ${round}`),
        write(BigInt(round % 9), round, bytes('live')),
      ])
      if (to.storage.append(entry) !== 'appended') throw new Error('full')
      to.storage.commit(entry.seq)
      round++
    }
    await resyncAll(from, to, () => source.last, live)
    await equal(t, from, to)
    await same(t, to, source.model, [...names, 'n44'], [1n, 2n, 3n, 4n, 8n])
    t.same((await flush(to))[0], 'flushed')
    to.storage.endResync()
    t.equal(to.storage.resync(), undefined)
  })
  await t.test('only what differs is moved', async (t) => {
    const from = await newStorage(t)
    const to = await newStorage(t)
    const source = new Writer(from)
    const mirror = new Writer(to)
    for (const writer of [source, mirror]) fill(writer)
    const common = source.last
    source.do([write(5n, 3, bytes('changed')), put('n3', 'changed'), remove(4n)])
    mirror.append([put('n4', 'never committed')], epoch(2))
    const work = [...workFor(await touchedSince(from, common.seq)), ...workFor(to.storage.touchedInTail(common.seq))]
    to.storage.beginResync(source.last, from.storage.opened.history, work)
    const moved = await resyncAll(from, to, () => source.last)
    await equal(t, from, to)
    t.ok(moved > 0 && moved <= unitBytes + 100, `${moved} bytes`)
  })
  await t.test('cut anywhere it goes on, and nothing done twice does harm', async (t) => {
    const from = await newStorage(t)
    let to = await newStorage(t)
    const source = new Writer(from)
    fill(source)
    new Writer(to).do(
      [put('n1', 'stale'), put('stale', 'x'), write(3n, 0, bytes('stale')), write(77n, 0, bytes('stale'))],
      epoch(3),
    )
    to.storage.beginResync(source.last, [{ epoch: epoch(1), first: seq(1) }], everything)
    for (let cuts = 0; cuts < 4; cuts++) {
      let steps = 0
      await resyncAll(
        from,
        to,
        () => source.last,
        () => {
          if (++steps > cuts * 2) throw new Error('cut')
        },
      ).catch((error: unknown) => t.match(error, { message: 'cut' }))
      to = await to.reopen()
      t.ok(to.storage.opened.resync !== undefined, 'the mark stands')
      t.same(markOf(to.storage.opened.last), markOf(source.last))
    }
    await resyncAll(from, to, () => source.last)
    await equal(t, from, to)
    await flush(to)
    to.storage.endResync()
    to = await to.reopen()
    t.equal(to.storage.opened.resync, undefined)
    await equal(t, from, to)
    t.equal(to.get(key('stale')), undefined)
  })
}

async function equal(t: Test, one: SuiteStorage, other: SuiteStorage): Promise<void> {
  for (const item of everything) t.equal(await digest(other, item), await digest(one, item), item.kind)
  for (let blob = 0n; blob < 10n; blob++) {
    t.ok(Buffer.from(await one.blob(blob)).equals(await other.blob(blob)), `blob ${blob}`)
  }
}
