import fc from 'fast-check'
import t from 'tap'
import { type Key, key } from '../../../proto/ids.ts'
import * as keys from '../../../server/store/keys.ts'
import { holds } from '../../fixtures/random.ts'

const u64 = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n })
const hash = fc.integer({ min: 1, max: keys.nameHashMax })
const u32 = fc.nat(2 ** 32 - 1)

void t.test('a key says what it was made of', async (t) => {
  const rows: readonly (readonly [Key, keys.ParsedKey])[] = [
    [keys.inodeKey(1n), { kind: 'inode', ino: 1n }],
    [keys.contentsKey(2n ** 64n - 1n), { kind: 'contents', ino: 2n ** 64n - 1n }],
    [keys.xattrsKey(255n), { kind: 'xattrs', ino: 255n }],
    [keys.locksKey(9n), { kind: 'locks', ino: 9n }],
    [keys.holdKey(9n), { kind: 'hold', ino: 9n }],
    [keys.holdKeyOf(keys.inodeKey(9n)), { kind: 'hold', ino: 9n }],
    [keys.orphanKey(256n), { kind: 'orphan', ino: 256n }],
    [keys.dentriesKey(3n, keys.nameHashMax), { kind: 'dentries', parent: 3n, hash: keys.nameHashMax }],
    [keys.sessionKey(7n), { kind: 'session', session: 7n }],
    [keys.replyKey(7n, 2 ** 32 - 1), { kind: 'reply', session: 7n, slot: 2 ** 32 - 1 }],
    [keys.inodeCounter, { kind: 'counter', name: 'inode' }],
  ]
  for (const [made, parsed] of rows) {
    t.same(keys.parseKey(made), parsed)
    t.ok(made >= keys.replicatedFrom && made < keys.replicatedTo, 'in the replicated range')
    t.ok(/^[\0-\xff]*$/.test(made), 'a byte a unit')
  }
})

void t.test('keys sort as their numbers do', async (t) => {
  const order = (a: Key, b: Key): number => Buffer.compare(Buffer.from(a, 'latin1'), Buffer.from(b, 'latin1'))
  const inodes = fc.property(u64, u64, (a, b) => order(keys.inodeKey(a), keys.inodeKey(b)) === sign(a, b))
  const names = fc.property(u64, hash, hash, (parent, a, b) => {
    const [first, second] = [keys.dentriesKey(parent, a), keys.dentriesKey(parent, b)]
    return (
      order(first, second) === sign(a, b) && first < second === a < b && first.startsWith(keys.dentriesPrefix(parent))
    )
  })
  const replies = fc.property(u64, u32, u32, (session, a, b) => {
    const [first, second] = [keys.replyKey(session, a), keys.replyKey(session, b)]
    return order(first, second) === sign(a, b) && first.startsWith(keys.repliesPrefix(session))
  })
  holds(t, 1000, inodes)
  holds(t, 1000, names)
  holds(t, 1000, replies)
})

void t.test('any text is a key or none', async (t) => {
  const bytes = fc.uint8Array({ maxLength: 20 }).map((array) => key(Buffer.from(array).toString('latin1')))
  const likely = fc
    .tuple(fc.constantFrom('c', 'd', 'i', 'l', 'n', 'o', 'r', 's', 'x'), bytes)
    .map(([kind, rest]) => key(kind + rest))
  const total = fc.property(fc.oneof(bytes, likely), (text) => {
    const parsed = keys.parseKey(text)
    if (parsed === undefined) return true
    return rebuilt(parsed) === text
  })
  holds(t, 5000, total)
})

void t.test('name hashes are in range, spread, and the same for ever', async (t) => {
  const rows = [
    ['', 3824587224550787],
    ['a', 5152884912650497],
    ['file.txt', 8662887975089823],
  ] as const
  for (const [name, expected] of rows) t.equal(keys.nameHash(Buffer.from(name)), expected, `"${name}"`)
  const hashes = Array.from({ length: 100_000 }, (_, index) => keys.nameHash(Buffer.from(`f${index}`)))
  t.equal(new Set(hashes).size, hashes.length)
  t.ok(hashes.every((one) => Number.isSafeInteger(one) && one >= 1 && one <= keys.nameHashMax))
  const buckets = Array.from({ length: 64 }, () => 0)
  for (const one of hashes) buckets[Math.floor(one / 2 ** 47)] = (buckets[Math.floor(one / 2 ** 47)] ?? 0) + 1
  t.ok(
    Math.min(...buckets) > 1300 && Math.max(...buckets) < 1850,
    `even: ${Math.min(...buckets)}–${Math.max(...buckets)}`,
  )
})

function sign(a: bigint | number, b: bigint | number): number {
  return a < b ? -1 : a > b ? 1 : 0
}

function rebuilt(parsed: keys.ParsedKey): Key {
  switch (parsed.kind) {
    case 'inode':
      return keys.inodeKey(parsed.ino)
    case 'contents':
      return keys.contentsKey(parsed.ino)
    case 'holes':
      return keys.holesKey(parsed.ino)
    case 'xattrs':
      return keys.xattrsKey(parsed.ino)
    case 'locks':
      return keys.locksKey(parsed.ino)
    case 'hold':
      return keys.holdKey(parsed.ino)
    case 'orphan':
      return keys.orphanKey(parsed.ino)
    case 'dentries':
      return keys.dentriesKey(parsed.parent, parsed.hash)
    case 'session':
      return keys.sessionKey(parsed.session)
    case 'place':
      return keys.placeKey(parsed.session)
    case 'reply':
      return keys.replyKey(parsed.session, parsed.slot)
    case 'counter':
      return keys.counterKey(parsed.name)
  }
}
