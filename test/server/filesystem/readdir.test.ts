import t from 'tap'
import { dentriesKey, nameHash } from '../../../server/store/keys.ts'
import { encodeDentries, typeRegular } from '../../../server/store/records.ts'
import { errnoOf, fourCallers } from '../../fixtures/file-calls.ts'
import { collidingNames } from './colliding-names.ts'

void t.test('a directory lists itself, its parent and its names', async (t) => {
  const { ann } = fourCallers()
  const dir = ann.mkdir(1n, 'd')
  const file = ann.create(dir, 'f')
  const link = ann.symlink(dir, 's', 'x')
  const { entries, end, parent } = ann.readdir(dir, 0n, 10, true)
  t.ok(end)
  t.equal(parent, 1n)
  const found = new Map(entries.map((entry) => [entry.name.toString(), entry]))
  t.match(found.get('.'), { ino: dir, type: 4, cookie: 1n, attributes: undefined })
  t.match(found.get('..'), { ino: 1n, type: 4, cookie: 2n, attributes: undefined })
  t.match(found.get('f'), { ino: file, type: 8, attributes: ann.stat(file) })
  t.match(found.get('s'), { ino: link, type: 10, attributes: ann.stat(link) })
  t.equal(ann.readdir(dir, 0n, 10, false).entries.at(-1)?.attributes, undefined)
})

void t.test('cookies ascend, stay below 2^63 and resume anywhere, in pages of any size', async (t) => {
  const { ann } = fourCallers()
  const dir = ann.mkdir(1n, 'd')
  const names = Array.from({ length: 50 }, (_, index) => `name-${index}`)
  for (const name of names) ann.create(dir, name)
  const all = ann.entries(dir)
  t.ok(all.every(({ cookie }, index) => cookie > (all[index - 1]?.cookie ?? 0n) && cookie < 2n ** 63n))
  for (const count of [1, 2, 3, 7, 51, 52, 53]) t.same(ann.names(dir, count).sort(), names.sort(), `pages of ${count}`)
  for (const [index, { cookie }] of all.entries()) {
    t.same(ann.readdir(dir, cookie, 3).entries, all.slice(index + 1, index + 4), 'resumed')
  }
})

void t.test('names come and go while somebody reads: what stays is listed once', async (t) => {
  const { ann } = fourCallers()
  const dir = ann.mkdir(1n, 'd')
  for (let index = 0; index < 40; index++) ann.create(dir, `stays-${index}`)
  for (let index = 0; index < 40; index++) ann.create(dir, `goes-${index}`)
  const seen: string[] = []
  let cookie = 0n
  for (let step = 0; ; step++) {
    const { entries, end } = ann.readdir(dir, cookie, 5)
    seen.push(...entries.map(({ name }) => name.toString()))
    cookie = entries.at(-1)?.cookie ?? cookie
    if (end) break
    if (step < 40) ann.unlink(dir, `goes-${step}`)
    ann.create(dir, `comes-${step}`)
  }
  const stayed = seen.filter((name) => name.startsWith('stays-'))
  t.equal(stayed.length, 40)
  t.equal(new Set(seen).size, seen.length, 'nothing twice')
})

void t.test('names of one hash are both found, listed and resumed, also when one goes', async (t) => {
  const [one, two] = collidingNames
  t.equal(nameHash(Buffer.from(one)), nameHash(Buffer.from(two)))
  const { ann } = fourCallers()
  const dir = ann.mkdir(1n, 'd')
  const inos = [ann.create(dir, one), ann.create(dir, two)]
  t.same([ann.lookup(dir, one).ino, ann.lookup(dir, two).ino], inos)
  t.same(ann.names(dir, 1), [one, two])
  const between = ann.readdir(dir, 0n, 3).entries[2]?.cookie ?? 0n
  ann.unlink(dir, one)
  t.same(
    ann.readdir(dir, between, 3).entries.map(({ name }) => name.toString()),
    [two],
  )
  t.equal(
    errnoOf(() => ann.lookup(dir, one)),
    'ENOENT',
  )
  ann.create(dir, one)
  t.same(ann.names(dir, 1), [one, two], 'its slot was free')
})

void t.test('more names of one hash than there are slots: no space', async (t) => {
  const { ann, volume } = fourCallers()
  const dir = ann.mkdir(1n, 'd')
  const name = (slot: number) => Buffer.from(`made-up-${slot}`)
  const dentries = Array.from({ length: 256 }, (_, slot) => ({ slot, ino: 5n, type: typeRegular, name: name(slot) }))
  const key = dentriesKey(dir, nameHash(Buffer.from('victim')))
  volume.apply([{ kind: 'put', key, value: encodeDentries(dentries) }])
  t.equal(
    errnoOf(() => ann.create(dir, 'victim')),
    'ENOSPC',
  )
  t.equal(ann.names(dir, 100).length, 256)
  volume.apply([{ kind: 'put', key, value: encodeDentries(dentries.filter(({ slot }) => slot !== 77)) }])
  ann.create(dir, 'victim')
  t.equal(ann.names(dir)[77], 'victim')
})

void t.test('readdir refuses', async (t) => {
  const { ann } = fourCallers()
  const dir = ann.mkdir(1n, 'd')
  const file = ann.create(1n, 'f')
  const rows = [
    ['a file', 'ENOTDIR', () => ann.readdir(file)],
    ['what is not there', 'ESTALE', () => ann.readdir(99n)],
    ['a cookie that never was', 'EINVAL', () => ann.readdir(dir, 2n ** 64n - 1n)],
    ['a removed directory', 'ENOENT', () => (ann.rmdir(1n, 'd'), ann.readdir(dir))],
  ] as const
  for (const [what, errno, run] of rows) t.equal(errnoOf(run), errno, what)
})
