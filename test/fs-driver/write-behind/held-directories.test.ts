import t from 'tap'
import { HeldDirectories } from '../../../fs-driver/write-behind/held-directories.ts'
import type { Attributes } from '../../../proto/generated/file-service.ts'
import { attributesOf } from '../../fixtures/attributes.ts'

const dir = 5n
const attributes: Attributes = { ...attributesOf(dir), mode: 0o40755, nlink: 2 }
const term = 3

/** Two names were made in the directory by themselves, so the hold is worth asking for. */
function busy() {
  const clock = { ms: 1_000 }
  const directories = new HeldDirectories(() => clock.ms)
  for (const name of ['a', 'b']) {
    directories.began(dir, name)
    directories.ended(dir, { changed: true })
  }
  const take = (number: bigint, how: { empty?: boolean; plain?: boolean; quiet?: boolean; given?: boolean } = {}) => {
    const { empty = false, given = true, plain = true, quiet = true } = how
    const entries = empty ? 0n : 1n
    const taken = { attributes, hold: given ? number : undefined, plain, entries, found: 0, children: [], atNs: 0n }
    return directories.ask(dir, number) ? directories.asked(dir, { number, term, taken, quiet }) : 'not asked'
  }
  const hasName = (name: string): boolean | undefined => directories.get(dir)?.names?.has(name)
  return { clock, directories, take, hasName }
}

void t.test('a hold is asked for when name after name is made, and once', (t) => {
  const { clock, directories, take } = busy()
  t.equal(take(1n), false)
  t.match(directories.usable(dir, term), { number: 1n, attributes })
  t.equal(directories.usable(dir, term + 1), undefined, 'leases were lost since')
  t.equal(take(2n), 'not asked', 'it is held')
  clock.ms += 3_000
  directories.released({ ino: dir, number: 1n })
  t.equal(directories.isBusy(dir), false, 'nobody has made anything for a while')
  t.end()
})

void t.test('what is not plain, or not given, is left alone for a while', (t) => {
  for (const how of [{ plain: false }, { given: false }]) {
    const { clock, directories, take } = busy()
    t.equal(take(1n, how), how.plain === false, 'what was given is given back')
    t.equal(directories.usable(dir, term), undefined)
    t.equal(take(2n), 'not asked')
    clock.ms += 2_001
    for (const name of ['c', 'd']) {
      directories.began(dir, name)
      directories.ended(dir, { changed: true })
    }
    t.equal(take(3n), false)
  }
  t.end()
})

void t.test('what may be in it is known if it was empty when nobody here was about to change it', (t) => {
  t.equal(busy().hasName('a'), undefined)
  for (const [how, known] of [
    [{ empty: true }, false],
    [{ empty: true, quiet: false }, undefined],
    [{ empty: false }, undefined],
  ] as const) {
    const { hasName, take } = busy()
    take(1n, how)
    t.equal(hasName('a'), known)
  }
  t.end()
})

void t.test('what was known of one that was given back meanwhile is forgotten', (t) => {
  const { directories, hasName, take } = busy()
  directories.born(dir, 1n, term)
  t.equal(hasName('x'), false)
  t.ok(directories.ask(dir, 2n))
  const held = directories.get(dir)
  if (held !== undefined) directories.recalled(held)
  directories.asked(dir, {
    number: 2n,
    term,
    taken: { attributes, hold: 2n, plain: true, entries: 1n, found: 0, children: [], atNs: 0n },
    quiet: true,
  })
  t.equal(hasName('x'), undefined, 'others may have made it')
  directories.released({ ino: dir, number: 1n })
  t.ok(directories.get(dir), 'the new one stays')
  t.equal(take(3n), 'not asked')
  t.end()
})

void t.test('a name that servers did not find is absent, unless something was done since they were asked', (t) => {
  const { clock, directories, take } = busy()
  take(1n)
  const absent = (): string[] => [...(directories.get(dir)?.absent ?? [])]
  directories.isAbsent(dir, 'x', 900)
  t.same(absent(), [], 'before it was held')
  clock.ms = 2_000
  directories.isAbsent(dir, 'x', 1_500)
  t.same(absent(), ['x'])
  const held = directories.get(dir)
  if (held !== undefined) directories.add(held, 'x', 9n)
  t.same(absent(), [])
  directories.isAbsent(dir, 'x', 1_900)
  directories.isAbsent(dir, 'y', 1_900)
  t.same(absent(), [], 'asked before something was made')
  clock.ms = 3_000
  directories.began(dir, 'z')
  directories.isAbsent(dir, 'y', 2_500)
  directories.ended(dir, { changed: false })
  directories.isAbsent(dir, 'y', 2_500)
  t.same(absent(), [], 'and before a change was answered')
  t.end()
})

void t.test('a directory that servers found is there, unless something was done since they were asked', (t) => {
  const { clock, directories, take } = busy()
  take(1n)
  const known = (): bigint | undefined => directories.get(dir)?.known.get('x')
  directories.leadsTo(dir, 'x', 7n, 900)
  t.equal(known(), undefined, 'before it was held')
  clock.ms = 2_000
  directories.leadsTo(dir, 'x', 7n, 1_500)
  t.equal(known(), 7n)
  const held = directories.get(dir)
  if (held !== undefined) directories.remove(held, 'x')
  t.equal(known(), undefined)
  directories.leadsTo(dir, 'x', 7n, 1_900)
  t.equal(known(), undefined, 'asked before something was taken away')
  clock.ms = 3_000
  directories.leadsTo(dir, 'x', 7n, 2_500)
  t.equal(known(), 7n)
  directories.began(dir, 'x')
  t.equal(known(), undefined)
  directories.leadsTo(dir, 'x', 7n, 2_500)
  directories.ended(dir, { changed: true })
  directories.leadsTo(dir, 'x', 7n, 2_500)
  t.equal(known(), undefined, 'and before a change was answered')
  t.end()
})

void t.test('a change that goes through makes what is known of it old', async (t) => {
  const { directories, take } = busy()
  take(1n)
  directories.began(dir, 'c')
  t.equal(directories.usable(dir, term), undefined)
  const quiet = directories.quiet(dir)
  directories.ended(dir, { changed: false })
  await quiet
  t.equal(directories.usable(dir, term), undefined, 'it has to be asked for')
  const held = directories.get(dir)
  if (held !== undefined) held.attributes = { ...attributes, nlink: 0 }
  t.equal(directories.usable(dir, term), undefined, 'it was removed')
})
