import t from 'tap'
import { holesMax, without, withRun } from '../../../server/filesystem/holes.ts'
import { violations } from '../../../server/filesystem/invariants.ts'
import type { Effect } from '../../../server/store/effect.ts'
import type { Run, Runs } from '../../../server/store/holes-record.ts'
import { errnoOf, FileCalls } from '../../fixtures/file-calls.ts'
import { MemoryVolume } from '../../fixtures/memory-volume.ts'

const block = 4096

const joins: readonly (readonly [what: string, runs: Runs, run: Run, expected: Runs])[] = [
  ['the first', [], [2, 4], [[2, 4]]],
  ['nothing', [[2, 4]], [3, 3], [[2, 4]]],
  [
    'behind',
    [[2, 4]],
    [6, 7],
    [
      [2, 4],
      [6, 7],
    ],
  ],
  [
    'before',
    [[6, 7]],
    [2, 4],
    [
      [2, 4],
      [6, 7],
    ],
  ],
  [
    'touching',
    [
      [2, 4],
      [6, 7],
    ],
    [4, 6],
    [[2, 7]],
  ],
  [
    'over several',
    [
      [2, 4],
      [6, 7],
      [9, 12],
    ],
    [3, 10],
    [[2, 12]],
  ],
  ['within', [[2, 9]], [3, 4], [[2, 9]]],
]

void t.test('a run is added to runs', async (t) => {
  for (const [what, runs, run, expected] of joins) t.strictSame(withRun(runs, run), expected, what)
})

const cuts: readonly (readonly [what: string, runs: Runs, run: Run, expected: Runs])[] = [
  ['nothing', [[2, 4]], [3, 3], [[2, 4]]],
  ['all', [[2, 4]], [0, 9], []],
  [
    'the middle',
    [[2, 9]],
    [4, 5],
    [
      [2, 4],
      [5, 9],
    ],
  ],
  ['the front', [[2, 9]], [0, 5], [[5, 9]]],
  ['the end', [[2, 9]], [5, 9], [[2, 5]]],
  [
    'parts of several',
    [
      [2, 4],
      [6, 8],
      [10, 12],
    ],
    [3, 11],
    [
      [2, 3],
      [11, 12],
    ],
  ],
  ['beside', [[2, 4]], [4, 6], [[2, 4]]],
]

void t.test('a run is taken from runs', async (t) => {
  for (const [what, runs, run, expected] of cuts) t.strictSame(without(runs, run), expected, what)
})

function sparse(volume = new MemoryVolume()) {
  const root = new FileCalls(volume)
  const file = root.create(1n, 'f')
  const seek = (offset: number, whence: number): number | string | undefined => {
    const op = { $case: 'lseek', value: { ino: file, offset: BigInt(offset), whence } } as const
    let found: number | undefined
    const errno = errnoOf(() => {
      found = Number(root.run('place', op).offset)
    })
    return found ?? errno
  }
  const allocate = (mode: number, offset: number, length: number): unknown => {
    const value = { ino: file, mode, offset: BigInt(offset), length: BigInt(length) }
    return root.run('done', { $case: 'fallocate', value })
  }
  return { root, file, data: (at: number) => seek(at, 3), hole: (at: number) => seek(at, 4), allocate }
}

void t.test('more holes than are kept: the smallest become data, and nothing that is data a hole', async (t) => {
  const { root, file, data, hole } = sparse()
  root.setattr(file, { size: BigInt(4 * holesMax * block) })
  root.write(file, 0, 'x')
  root.write(file, 3 * block, 'x')
  for (let index = 2; index < 2 * holesMax; index++) root.write(file, index * 2 * block, 'x')
  t.equal(hole(0), block, 'one of two blocks is kept')
  t.equal(data(block), 3 * block)
  t.ok(Number(hole(4 * block)) > 6 * block, 'the first of one block was given up')
  t.equal(root.read(file, 5 * block, 3).toString('hex'), '000000', 'which is still zeros')
  t.equal(root.stat(file).blocks, BigInt((4 * holesMax - holesMax - 1) * 8))
  t.strictSame(violations(root.volume.values), [])
})

void t.test('holes go with the file, and a file that is filled up has none', async (t) => {
  const { root, file, data, hole, allocate } = sparse()
  root.setattr(file, { size: BigInt(10 * block) })
  t.equal(data(0), 'ENXIO')
  t.equal(root.stat(file).blocks, 0n)
  root.write(file, 0, Buffer.alloc(10 * block, 1))
  t.equal(hole(0), 10 * block)
  t.equal(root.stat(file).blocks, 80n)
  t.equal([...root.volume.values.keys()].filter((key) => key.startsWith('h')).length, 0, 'there is no record of none')
  allocate(3, block, block)
  t.strictSame([hole(0), data(block)], [block, 2 * block])
  root.unlink(1n, 'f')
  root.volume.reap([file])
  t.strictSame(violations(root.volume.values), [])
})

void t.test(
  'what was punched is no write: only data becomes zeros, and the end is cut off and put on again',
  async (t) => {
    const effects: string[] = []
    class Watched extends MemoryVolume {
      override apply(all: readonly Effect[]): void {
        effects.push(...all.filter((effect) => 'blob' in effect).map(({ kind }) => kind))
        super.apply(all)
      }
    }
    const { root, file, allocate } = sparse(new Watched())
    root.setattr(file, { size: BigInt(100 * block) })
    root.write(file, 10 * block, Buffer.alloc(4 * block, 1))
    effects.length = 0
    allocate(3, 0, 12 * block)
    allocate(3, 0, 12 * block)
    allocate(3, 50 * block, 70 * block)
    allocate(3, 13 * block, 87 * block)
    t.strictSame(effects, ['blob.zero', 'blob.truncate', 'blob.truncate'])
  },
)
