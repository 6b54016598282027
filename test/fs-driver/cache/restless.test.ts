import t from 'tap'
import { Restless } from '../../../fs-driver/cache/restless.ts'

void t.test('it rests for so long', (t) => {
  const restless = new Restless(10)
  t.notOk(restless.has(1n, 0))
  restless.stir(1n, 0)
  t.same([restless.has(1n, 9), restless.has(1n, 10), restless.has(2n, 5)], [true, false, false])
  restless.stir(1n, 11)
  t.same([restless.has(1n, 20), restless.has(1n, 21)], [true, false], 'and no longer, if that is all')
  t.end()
})

void t.test('what happens again and again rests longer, until it was quiet for as long', (t) => {
  const restless = new Restless(10, 30)
  const until = (fromMs: number): number => {
    restless.stir(1n, fromMs)
    let ms = fromMs
    while (restless.has(1n, ms)) ms++
    return ms
  }
  t.equal(until(0), 10)
  t.equal(until(15), 35)
  t.equal(until(40), 70, 'three times at most')
  t.equal(until(99), 129)
  t.equal(until(159), 169, 'it was quiet')
  t.end()
})

void t.test('it forgets what is over', (t) => {
  const restless = new Restless(10)
  for (let ino = 0n; ino < 5000n; ino++) restless.stir(ino, Number(ino))
  t.ok(restless.has(4999n, 5000))
  t.notOk(restless.has(1n, 5000))
  t.end()
})
