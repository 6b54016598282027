import t from 'tap'
import { epoch, seq } from '../../proto/ids.ts'
import type { EpochStart } from '../../replication/entry.ts'
import { commonPoint, epochAt, type History, standing } from '../../replication/history.ts'

/** `[1,1],[3,5]` ending at 8: epoch 1 wrote 1 to 4, epoch 3 wrote 5 to 8. */
function history(starts: readonly (readonly [number, number])[], end: number): History {
  const written: EpochStart[] = starts.map(([e, first]) => ({ epoch: epoch(e), first: seq(first) }))
  return { starts: written, last: { epoch: epoch(starts.at(-1)?.[0] ?? 0), seq: seq(end), chain: 0 } }
}

const cases = [
  ['two new members', history([], 0), history([], 0), 0],
  ['one that has nothing', history([[1, 1]], 9), history([], 0), 0],
  ['one that is behind', history([[1, 1]], 9), history([[1, 1]], 4), 4],
  [
    'a tail that the other never had',
    history(
      [
        [1, 1],
        [2, 6],
      ],
      9,
    ),
    history([[1, 1]], 8),
    5,
  ],
  [
    'an epoch between that one of them missed',
    history(
      [
        [1, 1],
        [2, 4],
        [3, 7],
      ],
      9,
    ),
    history(
      [
        [1, 1],
        [3, 7],
      ],
      8,
    ),
    8,
  ],
  [
    'a lost reign on each side',
    history(
      [
        [1, 1],
        [2, 4],
      ],
      6,
    ),
    history(
      [
        [1, 1],
        [3, 5],
      ],
      9,
    ),
    3,
  ],
  ['no epoch in common', history([[2, 1]], 6), history([[3, 1]], 9), 0],
] as const

void t.test('the common point of two histories is where the greatest common epoch ends first (R34)', (t) => {
  for (const [name, a, b, expected] of cases) {
    t.equal(commonPoint(a, b), expected, name)
    t.equal(commonPoint(b, a), expected, `${name}, the other way round`)
  }
  t.end()
})

void t.test('what somebody has seen is here, may come, or is lost', (t) => {
  const starts = history(
    [
      [1, 1],
      [3, 5],
      [4, 9],
    ],
    12,
  ).starts
  const judge = (e: number, s: number, committed = 12) =>
    standing(starts, seq(committed), { epoch: epoch(e), seq: seq(s) })
  t.equal(judge(0, 0), 'here', 'nothing')
  t.equal(judge(1, 4), 'here')
  t.equal(judge(1, 5), 'lost', 'the next epoch has written in its place')
  t.equal(judge(1, 5, 4), 'ahead', 'but nothing that is committed')
  t.equal(judge(2, 3), 'lost', 'an epoch that came to nothing')
  t.equal(judge(3, 8), 'here')
  t.equal(judge(3, 8, 6), 'ahead')
  t.equal(judge(3, 9, 8), 'ahead')
  t.equal(judge(4, 12), 'here')
  t.equal(judge(4, 13), 'ahead')
  t.equal(judge(7, 2), 'ahead', 'a later reign that this member has not heard of')
  t.equal(standing([], seq(0), { epoch: epoch(1), seq: seq(1) }), 'ahead')
  t.same(
    [0, 1, 4, 5, 12].map((at) => epochAt(starts, seq(at))),
    [0, 1, 1, 3, 4],
  )
  t.end()
})
