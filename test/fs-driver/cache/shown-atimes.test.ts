import t from 'tap'
import { ShownAtimes } from '../../../fs-driver/cache/shown-atimes.ts'
import type { FileResult } from '../../../fs-driver/router/file-client.ts'
import { attributesOf } from '../../fixtures/attributes.ts'

const of = (ino: bigint, atimeNs: bigint) => ({ ...attributesOf(ino), atimeNs })

/** What an answer of the servers that says `atimeNs` is shown as. */
function shown(atimes: ShownAtimes, ino: bigint, atimeNs: bigint): bigint {
  const result: FileResult = { $case: 'attributes', value: of(ino, atimeNs) }
  atimes.putInto(result)
  return result.value.atimeNs
}

void t.test('until the servers know of a read, what they said before is shown as read', async (t) => {
  const atimes = new ShownAtimes()
  atimes.set(7n, { fromNs: 1n, toNs: 20n })
  t.equal(shown(atimes, 7n, 1n), 20n)
  t.equal(shown(atimes, 8n, 1n), 1n, 'another inode')
  t.equal(shown(atimes, 7n, 5n), 5n, 'somebody has set it')
  atimes.set(7n, { fromNs: 20n, toNs: 30n })
  t.equal(shown(atimes, 7n, 1n), 30n, 'read again, after a change')
  atimes.told(7n, 20n)
  t.equal(shown(atimes, 7n, 20n), 30n, 'the servers know of the first')
  atimes.told(7n, 30n)
  t.equal(shown(atimes, 7n, 20n), 20n, 'and of the last')
  atimes.set(7n, { fromNs: 30n, toNs: 40n })
  atimes.delete(7n)
  t.equal(shown(atimes, 7n, 30n), 30n)
})

void t.test('of attributes that are kept elsewhere a copy is shown as read', async (t) => {
  const atimes = new ShownAtimes()
  const kept = of(7n, 1n)
  t.equal(atimes.of(kept), kept)
  atimes.set(7n, { fromNs: 1n, toNs: 20n })
  t.equal(atimes.of(kept).atimeNs, 20n)
  t.equal(kept.atimeNs, 1n)
})

void t.test('entries and listings, too', async (t) => {
  const atimes = new ShownAtimes()
  atimes.set(7n, { fromNs: 1n, toNs: 20n })
  const entry: FileResult = { $case: 'entry', value: { attributes: of(7n, 1n) } }
  atimes.putInto(entry)
  t.equal(entry.value.attributes?.atimeNs, 20n)
  const name = { name: Buffer.from('f'), type: 8, cookie: 1n }
  const entries = [
    { ...name, ino: 7n, attributes: of(7n, 1n) },
    { ...name, ino: 8n, attributes: of(8n, 1n) },
    { ...name, ino: 7n, attributes: undefined },
  ]
  const listing: FileResult = { $case: 'listing', value: { entries, end: true, parent: 1n } }
  atimes.putInto(listing)
  t.same(
    entries.map(({ attributes }) => attributes?.atimeNs),
    [20n, 1n, undefined],
  )
})

void t.test(
  'what was read before its attributes were known is shown as read when they are, if that moves anything',
  async (t) => {
    const times = (atimeNs: bigint, mtimeNs: bigint, ctimeNs: bigint): bigint => {
      const atimes = new ShownAtimes()
      atimes.set(7n, { fromNs: undefined, toNs: 20n })
      const result: FileResult = { $case: 'attributes', value: { ...of(7n, atimeNs), mtimeNs, ctimeNs } }
      atimes.putInto(result)
      return result.value.atimeNs
    }
    t.equal(times(5n, 5n, 5n), 20n)
    t.equal(times(9n, 5n, 5n), 9n, 'it was read before, since the last change')
    t.equal(times(5n, 5n, 30n), 5n, 'it was changed since')
    const atimes = new ShownAtimes()
    atimes.set(7n, { fromNs: undefined, toNs: 2n ** 62n })
    t.equal(shown(atimes, 7n, 1n), 2n ** 62n)
    t.equal(shown(atimes, 7n, 6n), 6n, 'somebody has set it since')
  },
)
