import t from 'tap'
import type { FileCall, FileResult } from '../../../fs-driver/router/file-client.ts'
import { HeldChildren } from '../../../fs-driver/write-behind/held-children.ts'
import { HeldDirectories } from '../../../fs-driver/write-behind/held-directories.ts'
import { Holds } from '../../../fs-driver/write-behind/holds.ts'
import { ServerTime } from '../../../fs-driver/write-behind/server-time.ts'
import { Taking } from '../../../fs-driver/write-behind/taking.ts'
import type { Hold } from '../../../proto/generated/file-service.ts'
import { attributesOf } from '../../fixtures/attributes.ts'
import { quietCaches } from '../../fixtures/quiet-caches.ts'
import { expect } from '../../fixtures/wait.ts'

const dir = 9n
/** One directory with these files in it, and a server that answers what it is asked for when it is let. */
function taking(names: readonly string[]) {
  const clock = { ms: 1_000 }
  const { coherence } = quietCaches({ nowMs: () => clock.ms })
  coherence.onProlonged(1e9)
  const directories = new HeldDirectories(() => clock.ms)
  const children = new HeldChildren()
  const files = new Holds(() => clock.ms)
  const released: Hold[] = []
  const dirty = new Set<bigint>()
  const takes: { readonly call: Extract<FileCall, { $case: 'takeHold' }>; readonly answer: () => void }[] = []
  const answer = (call: FileCall): FileResult => {
    if (call.$case === 'readdir') {
      const entries = names.map((name, n) => ({
        name: Buffer.from(name),
        ino: BigInt(100 + n),
        type: 8,
        cookie: BigInt(n + 1),
        attributes: undefined,
      }))
      return { $case: 'listing', value: { entries, end: true, parent: 1n } }
    }
    if (call.$case === 'getattr') {
      const value = attributesOf(dir)
      dirty.clear() // what was held back is done before the answer has come
      return { $case: 'attributes', value }
    }
    if (call.$case !== 'takeHold') throw new Error(`${call.$case} was asked`)
    const found = call.value.names.map((name) => names.indexOf(name.toString()))
    const value = {
      attributes: { ...attributesOf(dir), mode: 0o040755 },
      hold: call.value.number,
      plain: true,
      entries: BigInt(names.length),
      found: found.length,
      children: found.map((n, index) => ({
        index,
        attributes: { ...attributesOf(BigInt(100 + n)), size: 3n },
        hold: call.value.children + BigInt(index),
      })),
      atNs: 5n,
    }
    return { $case: 'heldDirectory', value }
  }
  const one = new Taking({
    client: () => ({
      call: (call) =>
        call.$case === 'takeHold'
          ? new Promise((resolve) => takes.push({ call, answer: () => resolve(answer(call)) }))
          : Promise.resolve(answer(call)),
    }),
    coherence,
    directories,
    children,
    time: new ServerTime(),
    given: (file, term) => files.given(file, term),
    isDirty: (ino) => dirty.has(ino),
    isNaming: () => false,
    release: (holds) => released.push(...holds),
  })
  /** Asks, does something meanwhile, and lets it be answered. */
  const take = async (name: string, meanwhile: () => void = () => {}): Promise<void> => {
    const taken = one.children(dir, name)
    await new Promise((resolve) => setImmediate(resolve))
    meanwhile()
    takes.shift()?.answer()
    await taken
  }
  const known = (): string[] => names.filter((name) => children.at(dir, name) !== undefined)
  return { children, coherence, directories, dirty, files, known, one, released, take }
}

void t.test('the files of a directory come with it, and all names are known', async (t) => {
  const { children, coherence, directories, files, known, take } = taking(['a', 'b'])
  await take('a')
  t.same(known(), ['a', 'b'])
  t.match(children.at(dir, 'b'), { ino: 101n, attributes: { size: 3n } })
  t.equal(files.standing(101n, coherence.term), children.at(dir, 'b')?.hold)
  t.same(directories.get(dir)?.names, new Set(['a', 'b']))
})

void t.test('of a great directory some come, from the one that is wanted on', async (t) => {
  const names = Array.from({ length: 600 }, (_, n) => `n${n}`)
  const { directories, known, take } = taking(names)
  await take('n500')
  t.same(known(), names.slice(500))
  t.equal(directories.get(dir)?.names, undefined, 'not all names were counted')
  await take('n10')
  t.same(known(), [...names.slice(10, 266), ...names.slice(500)])
})

void t.test('a change that was sent meanwhile makes an answer old', async (t) => {
  const { directories, known, released, take } = taking(['a', 'b'])
  await take('a', () => directories.began(dir, 'b'))
  t.same(known(), [], 'nobody knows which was first')
  t.equal(released.length, 2, 'what is of no use is given back')
  t.equal(directories.get(dir)?.names, undefined)
  directories.ended(dir, { changed: true })
})

void t.test('what was led elsewhere here meanwhile is not what the answer says', async (t) => {
  const { directories, known, take } = taking(Array.from({ length: 300 }, (_, n) => `n${n}`))
  await take('n290')
  const held = directories.get(dir)
  await take('n0', () => {
    if (held !== undefined) directories.remove(held, 'n1')
  })
  t.notOk(known().includes('n1'))
  t.ok(known().includes('n0'))
})

void t.test('of a file that was changed meanwhile nothing is known but where it is', async (t) => {
  const { children, one, take } = taking(['a'])
  await take('a', () => one.fileChanged())
  t.match(children.at(dir, 'a'), { ino: 100n, attributes: undefined })
})

void t.test('who wants the directory meanwhile has the files back as well', async (t) => {
  const { directories, known, released, take } = taking(Array.from({ length: 300 }, (_, n) => `n${n}`))
  await take('n290')
  const held = directories.get(dir)
  await take('n0', () => {
    if (held !== undefined) directories.recalled(held)
  })
  t.notOk(known().includes('n0'))
  t.equal(released.length, 256)
})

void t.test('what a directory is like is not learnt from an answer that may lack what was held back', async (t) => {
  const { directories, dirty, one, take } = taking(['a'])
  await take('a')
  directories.began(dir, 'b')
  directories.ended(dir, { changed: true })
  const held = expect(directories.get(dir), 'not held')
  dirty.add(dir)
  await one.settle(held)
  t.equal(held.attributes, undefined)
  dirty.clear()
  await one.settle(held)
  t.match(held.attributes, { ino: dir })
})
