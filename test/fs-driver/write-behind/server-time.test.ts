import t from 'tap'
import { ServerTime } from '../../../fs-driver/write-behind/server-time.ts'

const second = 1_000_000_000n

function clock() {
  const now = { ns: 100n * second }
  return { now, time: new ServerTime(() => now.ns) }
}

void t.test('it is as late as the quickest answer said, and goes on', (t) => {
  const { now, time } = clock()
  t.equal(time.next(0n), undefined, 'nobody has said')
  time.heard(5_000n * second)
  time.heard(5_000n * second + 7n)
  time.heard(5_000n * second + 3n)
  t.equal(time.next(0n), 5_000n * second + 7n)
  now.ns += second
  t.equal(time.next(0n), 5_001n * second + 7n)
  t.end()
})

void t.test('no two are the same, and none is before what the servers gave', (t) => {
  const { time } = clock()
  time.heard(50n)
  t.same([time.next(0n), time.next(0n), time.next(90n), time.next(0n)], [50n, 51n, 91n, 92n])
  t.end()
})

void t.test('a clock that was wrong is forgotten after a while', (t) => {
  const { now, time } = clock()
  time.heard(9_000n * second)
  t.equal(time.next(0n), 9_000n * second)
  for (let minute = 0; minute < 2; minute++) {
    now.ns += 60n * second
    time.heard(1_000n * second + now.ns)
  }
  t.equal(time.next(0n), 1_000n * second + now.ns)
  t.end()
})
