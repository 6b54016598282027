import t from 'tap'
import { MovedDirectories } from '../../../fs-driver/cache/moved-directories.ts'
import type { FileCall, FileResult } from '../../../fs-driver/router/file-client.ts'
import { attributesOf } from '../../fixtures/attributes.ts'

const directory = 0o040755

/** A kernel that forgets when it is let. */
function bench() {
  const told: string[] = []
  const lets: (() => void)[] = []
  const directories = new MovedDirectories({
    forgetName: (dir, name) => {
      told.push(`${dir}/${Buffer.from(name).toString()}`)
      return new Promise((resolve) => void lets.push(resolve))
    },
  })
  const answers = (call: FileCall, result: FileResult) => {
    const waits = directories.before(call, result)
    directories.answered(call, result)
    return waits
  }
  const looks = (parent: bigint, name: string, ino: bigint, mode = directory) =>
    answers(
      { $case: 'lookup', value: { parent, name: Buffer.from(name) } },
      { $case: 'entry', value: { attributes: { ...attributesOf(ino), mode } } },
    )
  const renames = (parent: bigint, name: string, newParent: bigint, newName: string, flags = 0) =>
    answers(
      { $case: 'rename', value: { parent, name: Buffer.from(name), newParent, newName: Buffer.from(newName), flags } },
      { $case: 'done', value: {} },
    )
  return { directories, told, lets, answers, looks, renames }
}

void t.test('before a directory is found elsewhere the kernel forgets where it was', async (t) => {
  const { told, lets, looks } = bench()
  t.equal(looks(2n, 'x', 9n), undefined)
  t.equal(looks(2n, 'x', 9n), undefined, 'where it was')
  const waits = looks(3n, 'y', 9n)
  t.same(told, ['2/x'])
  lets[0]?.()
  await waits
  t.equal(looks(3n, 'y', 9n), undefined, 'it is known to be there now')
})

void t.test('it is waited for again by whoever comes meanwhile, but not for ever', async (t) => {
  const { told, lets, looks } = bench()
  void looks(2n, 'x', 9n)
  await looks(3n, 'y', 9n)
  const again = looks(3n, 'y', 9n)
  t.ok(again)
  t.same(told, ['2/x'])
  lets[0]?.()
  await again
  t.equal(looks(3n, 'y', 9n), undefined)
})

void t.test('what this machine has moved itself the kernel has moved', (t) => {
  const { told, looks, renames } = bench()
  void looks(2n, 'x', 9n)
  void looks(2n, 'y', 10n)
  void renames(2n, 'x', 3n, 'x')
  t.equal(looks(3n, 'x', 9n), undefined)
  void renames(3n, 'x', 2n, 'y', 2)
  t.equal(looks(2n, 'y', 9n), undefined)
  t.equal(looks(3n, 'x', 10n), undefined)
  t.same(told, [])
  t.end()
})

void t.test('a name that means something else now is not taken away from it', (t) => {
  const { told, looks } = bench()
  void looks(2n, 'x', 9n)
  void looks(2n, 'x', 11n)
  t.equal(looks(3n, 'y', 9n), undefined)
  void looks(2n, 'x', 9n)
  void looks(2n, 'x', 12n, 0o100644)
  t.equal(looks(3n, 'z', 12n, 0o100644), undefined, 'files have many names')
  t.same(told, ['3/y'], 'only where it was last')
  t.end()
})

void t.test('listings with attributes put names into the kernel too', (t) => {
  const { told, answers, looks } = bench()
  const attributes = { ...attributesOf(9n), mode: directory }
  const entries = ['.', 'x'].map((name) => ({ name: Buffer.from(name), ino: 9n, type: 4, cookie: 1n, attributes }))
  void answers(
    { $case: 'readdir', value: { ino: 2n, cookie: 0n, count: 9, attributes: true } },
    { $case: 'listing', value: { entries, end: true, parent: 1n } },
  )
  t.ok(looks(3n, 'y', 9n))
  t.same(told, ['2/x'])
  t.end()
})
