import t from 'tap'
import { benchTable, failures, type Results } from '../../scripts/bench/table.ts'

const run = (rate: number, seconds: number): Results => ({
  write: { value: rate, unit: 'MB/s', detail: { cut_short: rate < 10 } },
  git: { value: seconds, unit: 's', detail: {} },
})

void t.test('the table gives medians, spreads, and ratios that are more when better', async (t) => {
  const table = benchTable([
    { name: 'plain', runs: [run(100, 2), run(120, 4), run(110, 3)] },
    { name: 'mount', runs: [run(55, 6)] },
  ])
  t.equal(
    table,
    [
      '| workload | unit | plain | mount | ratio |',
      '| --- | --- | ---: | ---: | ---: |',
      '| write | MB/s | 110 (100-120) | 55.0 | ×0.5 |',
      '| git | s | 3.00 (2.00-4.00) | 6.00 | ×0.5 |',
    ].join('\n'),
  )
})

void t.test('a workload that failed is named, and has no figure', async (t) => {
  const wrong: Results = { write: { value: null, unit: 'MB/s', detail: {}, error: 'bytes differ' } }
  const places = [
    { name: 'plain', runs: [run(5, 1)] },
    { name: 'mount', runs: [wrong] },
  ]
  t.match(benchTable(places), '| write | MB/s | 5.00 † | failed |  |')
  t.same(failures(places), ['mount, run 1, write: bytes differ'])
})
