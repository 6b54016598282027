import t from 'tap'
import { type Instead, MovedInodes } from '../../../fs-driver/cache/moved-inodes.ts'
import type { FileCall, FileResult } from '../../../fs-driver/router/file-client.ts'
import { attributesOf } from '../../fixtures/attributes.ts'

const directory = 0o040755
const file = 0o100644
/** A thread that renames nothing. */
const looking = 99

/** A kernel that forgets when it is let. `leased`: `dir/name` that a lease says to lead to an inode. */
function bench(leased: ReadonlyMap<string, bigint> = new Map()) {
  const told: string[] = []
  const lets: (() => void)[] = []
  const pathOf = (dir: bigint, name: Uint8Array) => `${dir}/${Buffer.from(name).toString()}`
  const threads: { revalidating: boolean; elsewhere: boolean; running: boolean } = {
    revalidating: false,
    elsewhere: false,
    running: false,
  }
  const moved = new MovedInodes({
    kernel: {
      forgetName: (dir, name) => {
        told.push(pathOf(dir, name))
        return new Promise((resolve) => void lets.push(resolve))
      },
    },
    entry: (dir, name) => leased.get(pathOf(dir, name)),
    renaming: (pid) => {
      if (pid === looking || threads.elsewhere) return undefined
      const doing = threads.revalidating ? 'revalidates' : 'looks up'
      return threads.running ? Promise.resolve(doing) : doing
    },
  })
  const answers = (call: FileCall, result: FileResult, pid = 1) => {
    moved.asks(pid)
    const instead = moved.instead(call, result, pid)
    const told = (said: Instead): Instead => {
      if (said === undefined) moved.answered(call, result)
      else if (call.$case === 'lookup') moved.isNothingAt({ dir: call.value.parent, name: call.value.name }, pid)
      return said
    }
    return instead instanceof Promise ? instead.then(told) : told(instead)
  }
  const looks = (parent: bigint, name: string, ino: bigint, how: { mode?: number; pid?: number } = {}) =>
    answers(
      { $case: 'lookup', value: { parent, name: Buffer.from(name) } },
      { $case: 'entry', value: { attributes: { ...attributesOf(ino), mode: how.mode ?? directory } } },
      how.pid,
    )
  const renames = (parent: bigint, name: string, newParent: bigint, newName: string, flags = 0) =>
    answers(
      { $case: 'rename', value: { parent, name: Buffer.from(name), newParent, newName: Buffer.from(newName), flags } },
      { $case: 'done', value: {} },
    )
  return { threads, moved, told, lets, answers, looks, renames }
}

void t.test('before a directory is found elsewhere the kernel forgets where it was', async (t) => {
  const { told, lets, looks } = bench()
  t.equal(looks(2n, 'x', 9n), undefined)
  t.equal(looks(2n, 'x', 9n), undefined, 'where it was')
  const waits = looks(3n, 'y', 9n)
  t.same(told, ['2/x'])
  lets[0]?.()
  t.equal(await waits, undefined)
  t.equal(looks(3n, 'y', 9n), undefined, 'it is known to be there now')
})

void t.test('a rename that keeps it from that looks once more; others wait, but not for ever', async (t) => {
  const { told, lets, looks } = bench()
  void looks(2n, 'x', 9n)
  t.equal(await looks(3n, 'y', 9n, { pid: looking }), undefined)
  t.equal(await looks(3n, 'y', 9n), 'stale')
  t.equal(await looks(3n, 'y', 9n), undefined, 'once')
  const again = looks(3n, 'y', 9n, { pid: 2 })
  t.same(told, ['2/x'])
  lets[0]?.()
  t.equal(await again, undefined)
  t.equal(looks(3n, 'y', 9n), undefined)
})

void t.test('a rename that finds a file elsewhere looks once more', (t) => {
  const { moved, told, looks } = bench()
  const mode = file
  t.equal(looks(2n, 'x', 9n, { mode }), undefined)
  t.equal(looks(3n, 'y', 9n, { mode, pid: looking }), undefined, 'others do not')
  t.equal(looks(2n, 'x', 9n, { mode }), 'stale', 'it is back')
  t.equal(looks(2n, 'x', 9n, { mode }), undefined)
  moved.renames(1)
  t.equal(looks(2n, 'x', 9n, { mode }), undefined, 'once')
  t.equal(looks(3n, 'y', 9n, { mode }), 'stale')
  t.same(told, [], 'it may have several names')
  t.end()
})

void t.test('then the new name is absent for it, as long as both are of one file', (t) => {
  const { moved, looks } = bench()
  const mode = file
  void looks(2n, 'x', 9n, { mode })
  t.equal(looks(3n, 'y', 9n, { mode }), 'stale', 'the new name: it is looked up last')
  t.equal(looks(2n, 'x', 9n, { mode }), undefined, 'it was moved back')
  t.equal(looks(3n, 'y', 9n, { mode }), 'absent', 'and there again')
  t.equal(looks(3n, 'y', 9n, { mode }), 'absent', 'the kernel asks twice when it had another file there')
  moved.renames(1)
  void looks(3n, 'y', 9n, { mode, pid: looking })
  t.equal(looks(2n, 'x', 9n, { mode }), 'stale', 'the old name')
  t.equal(looks(2n, 'x', 9n, { mode }), undefined)
  t.equal(looks(3n, 'y', 10n, { mode }), undefined, 'another file')
  t.end()
})

void t.test('so it is for a directory', async (t) => {
  const { looks } = bench()
  void looks(2n, 'x', 9n)
  t.equal(await looks(2n, 'y', 9n), 'stale', 'the kernel cannot forget x: the rename has it locked')
  t.equal(looks(1n, 'parent', 2n), undefined)
  t.equal(looks(2n, 'x', 9n) instanceof Promise, true, 'it was moved back')
  t.equal(looks(1n, 'parent', 2n), undefined)
  t.equal(looks(2n, 'y', 9n), 'absent', 'and there again')
})

void t.test('a name under a lease is another name of the file', (t) => {
  const { looks } = bench(new Map([['2/x', 9n]]))
  const mode = file
  void looks(2n, 'x', 9n, { mode })
  t.equal(looks(3n, 'y', 9n, { mode }), undefined)
  t.end()
})

void t.test('who asks whether a name still leads there looks it up next, and that counts', (t) => {
  const { looks, threads } = bench()
  const mode = file
  void looks(2n, 'x', 9n, { mode })
  threads.revalidating = true
  t.equal(looks(3n, 'y', 9n, { mode }), 'stale')
  threads.revalidating = false
  t.equal(looks(3n, 'y', 9n, { mode, pid: looking }), undefined, 'somebody else comes between')
  t.equal(looks(3n, 'y', 9n, { mode }), 'stale')
  t.equal(looks(2n, 'x', 9n, { mode }), undefined)
  t.end()
})

void t.test('what a rename was told does not count for the next of that thread', (t) => {
  const mode = file
  const afterOne = () => {
    const made = bench()
    void made.looks(2n, 'x', 9n, { mode })
    void made.looks(2n, 'z', 10n, { mode, pid: looking })
    t.equal(made.looks(3n, 'y', 9n, { mode }), 'stale')
    return made
  }
  const x = { dir: 2n, name: Buffer.from('x') }
  {
    const { looks, moved } = afterOne()
    moved.isNothingAt(x, 1)
    t.equal(looks(3n, 'y', 10n, { mode }), 'stale', 'the old name was gone')
  }
  {
    const { looks, moved, threads } = afterOne()
    threads.revalidating = true
    moved.isNothingAt(x, 1)
    threads.revalidating = false
    t.equal(looks(3n, 'y', 10n, { mode }), undefined, 'it may be looked up once more')
  }
  {
    const { looks, moved, threads } = afterOne()
    threads.elsewhere = true
    moved.asks(1)
    threads.elsewhere = false
    t.equal(looks(3n, 'y', 10n, { mode }), 'stale', 'it has done something else since')
  }
  t.end()
})

void t.test('a thread that does not wait yet is looked at when it does', async (t) => {
  const { looks, threads } = bench()
  const mode = file
  void looks(2n, 'x', 9n, { mode })
  threads.running = true
  t.equal(await looks(3n, 'y', 9n, { mode }), 'stale')
})

void t.test('what may have to be said instead is doubtful', async (t) => {
  const { lets, looks, moved } = bench()
  const doubts = (parent: bigint, name: string, ino: bigint, mode: number) =>
    moved.isDoubtful(
      { $case: 'lookup', value: { parent, name: Buffer.from(name) } },
      { $case: 'entry', value: { attributes: { ...attributesOf(ino), mode } } },
      1,
    )
  for (const [ino, mode] of [
    [9n, file],
    [10n, directory],
  ] as const) {
    const name = String(ino)
    t.equal(doubts(2n, name, ino, mode), false)
    void looks(2n, name, ino, { mode })
    t.equal(doubts(2n, name, ino, mode), false, 'where it was')
    t.equal(doubts(3n, 'y', ino, mode), true)
  }
  t.equal(doubts(3n, '.', 10n, directory), false)
  const found = looks(3n, 'y', 10n)
  t.equal(doubts(3n, 'y', 10n, directory), true, 'the old name is being forgotten')
  lets[0]?.()
  await found
  t.equal(doubts(3n, 'y', 10n, directory), false)
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
  void looks(2n, 'x', 12n, { mode: file })
  t.equal(looks(3n, 'z', 12n, { mode: file, pid: looking }), undefined, 'files have many names')
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
  t.ok(looks(3n, 'y', 9n) instanceof Promise)
  t.same(told, ['2/x'])
  t.end()
})
