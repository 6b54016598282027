import { join } from 'node:path'
import { setImmediate as breathe } from 'node:timers/promises'
import t, { type Test } from 'tap'
import type { Mark } from '../../../replication/entry.ts'
import type { ItemDigest } from '../../../replication/ports.ts'
import { encodeBody } from '../../../server/store/body.ts'
import type { Effect } from '../../../server/store/effect.ts'
import type { VolumeStore } from '../../../server/store/volume-store.ts'
import { seed } from '../../fixtures/random.ts'
import { del, entryAfter, epoch, key, Model, put, remove, seq, truncate, write, zero } from './history.ts'
import { copyOf, newDir, openStore } from './volume-fixture.ts'

const runs = 12
const steps = 60
const names = Array.from({ length: 15 }, (_, index) => `n${index}`)
const blobs = [1n, 2n, 3n, 1n << 40n]
const blobBytesMax = 260_000
const options = { limits: { writeDelayMs: 2, segmentBytes: 300_000, chunkBytes: 200_000, journalBytesMax: 600_000 } }

/** mulberry32 */
function randomOf(from: number): (below: number) => number {
  let state = from
  return (below) => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below
  }
}

/** One store under random operations, and what it must hold. */
class Run {
  readonly #t: Test
  readonly #random: (below: number) => number
  #dir: string
  #store: VolumeStore
  readonly #model = new Model()
  #last: Mark
  #epoch = 1
  #committed = 0
  #appended: { readonly mark: Mark; readonly effects: readonly Effect[] }[] = []

  constructor(t: Test, dir: string, store: VolumeStore, from: number) {
    this.#t = t
    this.#dir = dir
    this.#store = store
    this.#random = randomOf(from)
    this.#last = store.opened.last
  }

  async step(): Promise<string> {
    const kind = this.#random(20)
    if (kind < 9) return this.#append()
    if (kind < 13) return this.#commit(this.#committed + this.#random(this.#last.seq - this.#committed + 1))
    if (kind < 14) return this.#cut()
    if (kind < 15) return this.#flush()
    if (kind < 16) {
      this.#store.retain(seq(Math.max(1, this.#last.seq - this.#random(10))))
      return 'retain'
    }
    if (kind < 17) return this.#restart(this.#random(3) === 0)
    await breathe()
    return 'breathe'
  }

  async check(): Promise<void> {
    for (const name of names) this.#t.same(this.#store.committed.get(key(name)), this.#model.keys.get(key(name)), name)
    const prefix = key('')
    const found = await this.#store.scan(prefix, prefix, 1000)
    this.#t.same(
      found.map(([name]) => name),
      [...this.#model.keys.keys()].sort(),
    )
    for (const blob of blobs) {
      const expected = this.#model.blobs.get(blob) ?? new Uint8Array(0)
      const bytes = Buffer.from(await this.#store.readBlob(blob, 0, 1 << 30))
      this.#t.ok(bytes.equals(expected), `blob ${blob}: ${bytes.length} of ${expected.length} bytes`)
      const item = { kind: 'range', blob, offset: 0, length: blobBytesMax } as const
      const digest = await new Promise<ItemDigest>((done) => this.#store.digest(item, { detail: false }, done))
      this.#t.same(digest.damaged, [], `sums of blob ${blob}`)
    }
  }

  #append(): string {
    const effects = Array.from({ length: this.#random(4) }, () => this.#effect())
    const entry = entryAfter(this.#store, this.#last, epoch(this.#epoch), encodeBody(effects))
    if (this.#store.append(entry) !== 'appended') throw new Error('full')
    this.#last = entry
    this.#appended.push({ mark: entry, effects })
    return 'append'
  }

  #effect(): Effect {
    const blob = blobs[this.#random(blobs.length)] ?? 1n
    const name = names[this.#random(names.length)] ?? ''
    const offset = this.#random(4) === 0 ? 0 : this.#random(3) * 65536 + this.#random(2) * this.#random(65536)
    switch (this.#random(10)) {
      case 0:
        return del(name)
      case 1:
        return truncate(blob, this.#random(blobBytesMax))
      case 2:
        return this.#random(3) === 0 ? remove(blob) : truncate(blob, this.#random(3) * 65536)
      case 3:
      case 4:
        return write(blob, offset, Buffer.alloc(1 + this.#random(60_000), this.#random(256)))
      case 5:
        return write(
          blob,
          this.#model.blobs.get(blob)?.length ?? 0,
          Buffer.alloc(1 + this.#random(5000), this.#random(256)),
        )
      case 6:
        return write(blob, this.#random(2) * 65536, Buffer.alloc(65536 * (1 + this.#random(2)), this.#random(256)))
      case 7:
        return zero(blob, offset, 1 + this.#random(2) * 65536 + this.#random(100_000))
      default:
        return put(name, `${this.#last.seq} ${'x'.repeat(this.#random(300))}`)
    }
  }

  #commit(to: number): string {
    this.#store.commit(seq(to))
    for (const { effects } of this.#appended.filter(({ mark }) => mark.seq <= to)) this.#model.apply(effects)
    this.#appended = this.#appended.filter(({ mark }) => mark.seq > to)
    this.#committed = to
    return `commit ${to}`
  }

  #cut(): string {
    const kept = this.#appended[this.#random(this.#appended.length)]
    if (kept === undefined) return 'no cut'
    this.#store.cut(kept.mark.seq)
    this.#last = kept.mark
    this.#appended = this.#appended.filter(({ mark }) => mark.seq <= kept.mark.seq)
    this.#epoch++
    return `cut ${kept.mark.seq}`
  }

  #flush(): Promise<string> {
    return new Promise((done) => this.#store.flush((outcome, upTo) => done(`${outcome} ${upTo}`)))
  }

  /** After kill -9, or a clean stop: what was committed is committed again, as a replica would find out. */
  async #restart(clean: boolean): Promise<string> {
    if (clean) await this.#store.close()
    this.#dir = await copyOf(this.#t, this.#dir)
    await this.#store.close()
    this.#store = await openStore(this.#t, this.#dir, options)
    const { opened } = this.#store
    const { epoch: of, seq: at, chain } = this.#last
    this.#t.match(opened, { last: { epoch: of, seq: at, chain }, amnesia: false })
    this.#t.ok(opened.applied <= this.#committed, `applied ${opened.applied} of ${this.#committed}`)
    if (clean) this.#t.equal(opened.applied, this.#committed)
    this.#store.commit(seq(this.#committed))
    return clean ? 'clean restart' : 'restart'
  }
}

void t.test('after random operations and restarts a store holds what a model holds', async (t) => {
  for (let run = 0; run < runs; run++) {
    const dir = join(await newDir(t), 'store')
    const walk = new Run(t, dir, await openStore(t, dir, options), seed + run)
    const done: string[] = []
    try {
      for (let step = 0; step < steps; step++) done.push(await walk.step())
      await walk.check()
    } catch (error) {
      t.fail(error instanceof Error ? (error.stack ?? error.message) : String(error))
    }
    if (!t.passing()) return t.comment(`run ${run} of BANYAN_SEED=${seed}: ${done.join(', ')}`)
  }
})
