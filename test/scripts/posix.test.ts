import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { runSuiteFile, suiteFiles } from '../../scripts/posix/suite.ts'

const files = {
  'a/0.t': 'echo 1..4; echo ok 1; echo not ok 2 - wrong; echo "not ok 3 # TODO as here"; echo "ok 4 # TODO better"',
  'a/1.t': 'echo 1..3; echo ok 1',
  'b/0.t': 'pwd > seen; echo 1..1; echo ok 1',
  'b/1.t': 'exit 1',
  'b/2.t': 'echo 1..1; echo ok 1; exit 2',
  'b/3.t': 'echo "1..0 # SKIP not here"',
}

void t.test('files of a suite are counted as they print', async (t) => {
  const folder = t.testdir({ pjdfstest: '', place: {}, tests: { a: {}, b: {} } })
  for (const [name, script] of Object.entries(files)) writeFileSync(join(folder, 'tests', name), `${script}\n`)
  const place = join(folder, 'place')
  const results = suiteFiles(folder, []).map((file) => runSuiteFile(folder, file, place))
  t.match(await Promise.all(results), [
    { file: 'a/0.t', passed: 2, expected: 1, failures: ['2 wrong'] },
    { file: 'a/1.t', passed: 1, expected: 0, failures: [/no whole result/] },
    { file: 'b/0.t', passed: 1, expected: 0, failures: [] },
    { file: 'b/1.t', passed: 0, expected: 0, failures: [/no whole result/] },
    { file: 'b/2.t', passed: 1, expected: 0, failures: [/exit code 2/] },
    { file: 'b/3.t', passed: 0, expected: 0, failures: [] },
  ])
  t.match(await runSuiteFile(folder, 'b/0.t', join(place, 'missing')), { failures: [/no whole result/] })
})

void t.test('some of the files, and a folder that is no suite', async (t) => {
  const folder = t.testdir({ pjdfstest: '', tests: { chmod: { '00.t': '', '01.t': '' }, chown: { '00.t': '' } } })
  mkdirSync(join(folder, 'tests/chmod/more'))
  t.same(suiteFiles(folder, ['chown', 'chmod/01']), ['chmod/01.t', 'chown/00.t'])
  t.throws(() => suiteFiles(join(folder, 'tests'), []), /has no built pjdfstest/)
})
