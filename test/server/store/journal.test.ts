import { copyFileSync, mkdirSync, readdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import t, { type Test } from 'tap'
import { type Entry, nextChain, origin } from '../../../replication/entry.ts'
import { Journal, type JournalFound } from '../../../server/store/journal.ts'
import { nowhere } from '../../../server/store/journal-record.ts'
import { epoch, seq } from './history.ts'
import { newDir } from './volume-fixture.ts'

const segmentBytes = 1 << 20

function open(t: Test, dir: string, bytes = segmentBytes): JournalFound {
  const found = Journal.open(dir, bytes)
  t.teardown(() => found.journal.close())
  return found
}

function fill(journal: Journal, bodies: readonly string[], of = epoch(1)): Entry[] {
  return bodies.map((text) => {
    const body = Buffer.from(text)
    const check = crc32(body)
    const chain = nextChain(journal.last.chain, of, check)
    const entry = { epoch: of, seq: seq(journal.last.seq + 1), chain, body }
    if (journal.append(entry, check, nowhere, body) !== 'appended') throw new Error('full')
    return entry
  })
}

function bodies(journal: Journal, from = 1): string[] {
  const found: string[] = []
  journal.entries(seq(from), (record) => {
    found.push(record.head.toString())
    return true
  })
  return found
}

const onlyFile = (dir: string): string =>
  join(dir, readdirSync(dir).filter((name) => name.endsWith('.journal'))[0] ?? '')

void t.test('a journal cut off at any byte is what was whole before it, and its end torn', async (t) => {
  const dir = await newDir(t)
  const { journal } = open(t, dir)
  const path = onlyFile(dir)
  const ends = [readFileSync(path).length]
  const texts = ['first', '', 'a third one', 'x'.repeat(300)]
  for (const [index, text] of texts.entries()) {
    fill(journal, [text])
    if (index === 1) journal.note(seq(1))
    ends.push(readFileSync(path).length)
  }
  const whole = readFileSync(path)
  const name = path.slice(dir.length + 1)
  for (let length = ends[0] ?? 0; length <= whole.length; length++) {
    const copy = join(dir, `copy-${length}`)
    mkdirSync(copy)
    writeFileSync(join(copy, name), whole.subarray(0, length))
    const found = Journal.open(copy, segmentBytes)
    const count = ends.filter((end) => end <= length).length - 1
    const kept = bodies(found.journal)
    // The note stands between the second entry and its end as noted here: without it the entry is whole all the same.
    const isNoteTorn = kept.length === 2 && count === 1
    if (kept.length !== count && !isNoteTorn) t.fail(`cut at ${length}: ${kept.length} entries, not ${count}`)
    const isBoundary = ends.includes(length) || (isNoteTorn && found.end === 'whole')
    if ((found.end === 'whole') !== isBoundary || found.end === 'damage') t.fail(`cut at ${length}: ${found.end}`)
    fill(found.journal, ['after'])
    found.journal.close()
    const again = Journal.open(copy, segmentBytes)
    if (again.end !== 'whole' || bodies(again.journal).at(-1) !== 'after') t.fail(`cut at ${length}: not usable after`)
    again.journal.close()
  }
  t.pass(`${whole.length - (ends[0] ?? 0)} places`)
})

void t.test('a flipped byte anywhere in a journal is damage, and never another entry', async (t) => {
  const dir = await newDir(t)
  const { journal } = open(t, dir)
  const path = onlyFile(dir)
  const from = readFileSync(path).length
  fill(journal, ['one', 'two', 'three'])
  const whole = readFileSync(path)
  for (let at = from; at < whole.length; at++) {
    const copy = join(dir, `flip-${at}`)
    mkdirSync(copy)
    const flipped = Buffer.from(whole)
    flipped[at] = (flipped[at] ?? 0) ^ 0x10
    writeFileSync(join(copy, path.slice(dir.length + 1)), flipped)
    const found = Journal.open(copy, segmentBytes)
    const kept = bodies(found.journal)
    if (found.end === 'whole') t.fail(`a flip at ${at} was not seen`)
    if (kept.length > 2 || kept.some((body, index) => body !== ['one', 'two'][index]))
      t.fail(`a flip at ${at}: ${kept.join()}`)
    found.journal.close()
  }
  t.pass(`${whole.length - from} places`)
})

void t.test('segments follow one another; a hole between them ends the journal', async (t) => {
  const dir = await newDir(t)
  const { journal } = open(t, dir, 500)
  const texts = Array.from({ length: 60 }, (_, index) => `entry ${index}`)
  fill(journal, texts)
  t.ok(readdirSync(dir).length > 3)
  t.same(bodies(open(t, dir, 500).journal), texts)
  const middle = readdirSync(dir).sort()[1] ?? ''
  truncateSync(join(dir, middle), readFileSync(join(dir, middle)).length - 1)
  const found = open(t, dir, 500)
  t.equal(found.end, 'damage')
  const kept = bodies(found.journal)
  t.same(kept, texts.slice(0, kept.length))
  t.ok(kept.length > 5 && kept.length < 30, `${kept.length} kept`)
  t.equal(open(t, dir, 500).end, 'whole')
})

void t.test('a cut goes back over segments, and keeps the note', async (t) => {
  const dir = await newDir(t)
  const { journal } = open(t, dir, 400)
  const entries = fill(
    journal,
    Array.from({ length: 30 }, (_, index) => `entry ${index}`),
  )
  fill(journal, ['under two'], epoch(2))
  journal.note(seq(7))
  journal.cut(seq(8))
  t.match(journal.last, { epoch: 1, seq: 8, chain: entries[7]?.chain })
  t.same(journal.history, [{ epoch: 1, first: 1 }])
  fill(journal, ['other'], epoch(3))
  const again = open(t, dir, 400).journal
  t.equal(bodies(again).length, 9)
  t.equal(again.noted, 7)
  t.same(again.history, [
    { epoch: 1, first: 1 },
    { epoch: 3, first: 9 },
  ])
})

void t.test('a journal begun anew has the given base, history and carry, and nothing of before', async (t) => {
  const dir = await newDir(t)
  const { journal } = open(t, dir, 300)
  fill(journal, ['a', 'b', 'c', 'd', 'e', 'f', 'g'])
  const old = join(dir, 'old')
  mkdirSync(old)
  for (const name of readdirSync(dir)) if (name.endsWith('.journal')) copyFileSync(join(dir, name), join(old, name))
  const base = { epoch: epoch(5), seq: seq(100), chain: 77 }
  journal.reset(base, [{ epoch: epoch(5), first: seq(90) }], Buffer.from('kept'))
  fill(journal, ['next'], epoch(5))
  // The old segments had not been removed when the process died.
  for (const name of readdirSync(old)) copyFileSync(join(old, name), join(dir, name))
  const found = open(t, dir, 300)
  t.same(found.journal.base, base)
  t.same(found.journal.history, [{ epoch: 5, first: 90 }])
  t.equal(Buffer.from(found.carry ?? []).toString(), 'kept')
  t.same(bodies(found.journal), ['next'])
  t.same(found.journal.markAt(seq(100)), base)
  t.equal(found.journal.markAt(seq(7)), undefined)
})

void t.test('an entry with another history, or out of its turn, is refused', async (t) => {
  const { journal } = open(t, await newDir(t))
  fill(journal, ['a'])
  const body = Buffer.from('b')
  const entry = { epoch: epoch(1), seq: seq(2), chain: nextChain(origin.chain, epoch(1), crc32(body)), body }
  t.throws(() => journal.append(entry, crc32(body), nowhere, body), /another history/)
  t.throws(() => journal.append({ ...entry, seq: seq(3) }, crc32(body), nowhere, body), /after 1/)
})
