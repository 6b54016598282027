import t from 'tap'
import type { NotedRead } from '../../../proto/generated/file-service.ts'
import { needsAtime } from '../../../proto/relatime.ts'
import { operate } from '../../../server/filesystem/operate.ts'
import { touchedInos } from '../../../server/session/touched-inos.ts'
import { inodeKey } from '../../../server/store/keys.ts'
import { decodeInode } from '../../../server/store/records.ts'
import { type FileCalls, fourCallers } from '../../fixtures/file-calls.ts'

const second = 1_000_000_000n
const day = 86_400n * second
/** When the file was made and written to. */
const made = 1_000n * second

void t.test('relatime: the first read since a change or since a day', async (t) => {
  const [a, b, c] = [100n * second, 200n * second, 300n * second]
  const rows: readonly [boolean, string, Parameters<typeof needsAtime>[0], bigint][] = [
    [true, 'new', { atimeNs: a, mtimeNs: a, ctimeNs: a }, b],
    [true, 'written since', { atimeNs: a, mtimeNs: b, ctimeNs: b }, c],
    [true, 'changed otherwise since', { atimeNs: b, mtimeNs: a, ctimeNs: b }, c],
    [false, 'read since', { atimeNs: b, mtimeNs: a, ctimeNs: a }, c],
    [false, 'read since, nearly a day ago', { atimeNs: b, mtimeNs: a, ctimeNs: a }, b + day - 1n],
    [true, 'read since, a day ago', { atimeNs: b, mtimeNs: a, ctimeNs: a }, b + day],
    [false, 'set to the future', { atimeNs: c, mtimeNs: a, ctimeNs: a }, b],
    [true, 'written in the future', { atimeNs: b, mtimeNs: c, ctimeNs: a }, b + 1n],
  ]
  for (const [expected, what, times, atNs] of rows) t.equal(needsAtime(times, atNs), expected, what)
})

interface Row {
  readonly what: string
  /** Done before the read is noted, at `made` + 1 s unless it says otherwise. */
  readonly first?: (root: FileCalls, file: bigint) => unknown
  /** The read, 10 s after the file was made, by somebody who saw it as it was made; it is noted at 13 s. */
  readonly read?: Partial<NotedRead>
  /** Seconds after it was made; undefined: as it was. */
  readonly atime: bigint | undefined
}

const isNow = { now: true, ns: 0n }
const rows: readonly Row[] = [
  { what: 'first read', atime: 10n },
  { what: 'first read, of a reader that did not know the inode', read: { wasNs: undefined }, atime: 10n },
  {
    what: 'read since',
    first: (root, file) => root.noteReads(noted(file)),
    read: { wasNs: made + second },
    atime: undefined,
  },
  { what: 'read elsewhere since', first: (root, file) => root.noteReads(noted(file)), atime: undefined },
  {
    what: 'read before, then written',
    first: (root, file) => {
      root.noteReads(noted(file))
      root.nowNs += second
      root.write(file, 0, 'more')
    },
    read: { wasNs: made + second },
    atime: 10n,
  },
  {
    what: 'written after the read, which the reader does not know',
    first: (root, file) => {
      root.nowNs = made + 11n * second
      root.write(file, 0, 'more')
    },
    atime: 10n,
  },
  {
    what: 'the same, and the reader knew nothing at all',
    first: (root, file) => {
      root.nowNs = made + 11n * second
      root.write(file, 0, 'more')
    },
    read: { wasNs: undefined },
    atime: undefined,
  },
  {
    what: 'access time set after the read',
    first: (root, file) => root.setattr(file, { atime: { now: false, ns: made - day } }),
    atime: undefined,
  },
  {
    what: 'access time set in the past, then read',
    first: (root, file) => root.setattr(file, { atime: { now: false, ns: made - day } }),
    read: { wasNs: made - day },
    atime: 10n,
  },
  {
    what: 'access time set in the future, then read',
    first: (root, file) => root.setattr(file, { atime: { now: false, ns: made + day } }),
    read: { wasNs: made + day },
    atime: undefined,
  },
  {
    what: 'touched, then read',
    first: (root, file) => root.setattr(file, { atime: isNow }),
    read: { wasNs: made + second },
    atime: 10n,
  },
  {
    what: 'an inode with the flag for no access times',
    first: (root, file) => root.setattr(file, { flags: 0x80 }),
    atime: undefined,
  },
  {
    what: 'immutable: access times move all the same',
    first: (root, file) => root.setattr(file, { flags: 0x10 }),
    atime: 10n,
  },
  { what: 'a host whose clock is behind', read: { atNs: made - second }, atime: undefined },
  { what: 'a host whose clock is ahead', read: { atNs: made + day }, atime: 13n },
]

function noted(ino: bigint, read: Partial<NotedRead> = {}): NotedRead {
  return { ino, atNs: made + second, wasNs: made, ...read }
}

void t.test('which reads move the access time, and where to', async (t) => {
  for (const { what, first, read, atime } of rows) {
    const { root, volume } = fourCallers()
    root.nowNs = made
    const file = root.create(1n, 'f')
    root.nowNs = made + second
    first?.(root, file)
    root.nowNs = made + 13n * second
    const before = root.stat(file)
    const version = () => decodeInode(volume.get(inodeKey(file)) ?? new Uint8Array()).version
    const versionBefore = version()
    root.noteReads(noted(file, { atNs: made + 10n * second, ...read }))
    const { atimeNs, ...others } = root.stat(file)
    const { atimeNs: atimeBefore, ...othersBefore } = before
    t.equal(atimeNs, atime === undefined ? atimeBefore : made + atime * second, what)
    t.same(others, othersBefore, `${what}: nothing else changes`)
    t.equal(version(), versionBefore)
  }
})

void t.test('many are noted at once; what is not there is passed over; clients keep what they have', async (t) => {
  const { root, volume } = fourCallers()
  root.nowNs = made
  const dir = root.mkdir(1n, 'd')
  const [file, link] = [root.create(dir, 'f'), root.symlink(dir, 'l', 'f')]
  const reads = [dir, 99n, file, link, file].map((ino) => ({ ino, atNs: made + second }))
  const at = { nowNs: made + second }
  const { reply, effects } = operate(volume, root.caller, { $case: 'noteReads', value: { reads } }, at)
  t.equal(reply.$case, 'done')
  t.equal(effects.length, 3)
  t.same([...touchedInos(effects)], [], 'no lease is asked back')
  volume.apply(effects)
  for (const ino of [dir, file, link]) t.equal(root.stat(ino).atimeNs, made + second)
  const again = operate(volume, root.caller, { $case: 'noteReads', value: { reads } }, { nowNs: made + 2n * second })
  t.same(again.effects, [])
})
