import t from 'tap'
import { sliceBytesMax, workFor } from '../../replication/work.ts'

const range = (blob: bigint, offset: number, length: number) => ({ blob, offset, length })
const work = (...ranges: readonly ReturnType<typeof range>[]) => workFor({ everything: false, keys: [], ranges })

void t.test('no byte is in two items, whatever order and overlap the ranges come in', (t) => {
  t.same(work(range(2n, 50, 10), range(1n, 90, 20), range(1n, 0, 100), range(2n, 60, 5), range(1n, 10, 5)), [
    { kind: 'range', ...range(1n, 0, 110) },
    { kind: 'range', ...range(2n, 50, 15) },
  ])
  const long = work(range(7n, 10, sliceBytesMax), range(7n, sliceBytesMax, sliceBytesMax))
  t.same(long, [
    { kind: 'range', ...range(7n, 10, sliceBytesMax) },
    { kind: 'range', ...range(7n, 10 + sliceBytesMax, sliceBytesMax - 10) },
  ])
  t.end()
})
