import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import t from 'tap'
import { type Complaint, type FileResult, TapResults } from '../../scripts/tap-results.ts'

async function results(text: string, complaint?: Complaint): Promise<FileResult> {
  const read = new TapResults('test/a.test.ts')
  read.input.end(text)
  return await read.finish(1.5, complaint)
}

const passing = `TAP version 14
# Subtest: one
    ok 1 - fine
    1..1
ok 1 - one # time=5ms
# Subtest: two
    ok 1 - fine
    ok 2 - fine
    1..2
ok 2 - two # time=5ms
1..2
`

void t.test('counts what a file names at its top, not single assertions', async (t) => {
  t.same(await results(passing), {
    file: 'test/a.test.ts',
    passed: 2,
    failed: 0,
    seconds: 1.5,
    failures: [],
    comments: [],
  })
})

void t.test('a failure says where it happened, however deep', async (t) => {
  const file = await results(`TAP version 14
# Subtest: outer
    # Subtest: inner
        not ok 1 - equal
          ---
          diff: |
            -1
            +2
          ...
        1..1
    not ok 1 - inner
    1..1
not ok 1 - outer
1..1
`)
  t.match(file, { passed: 0, failed: 1 })
  t.match(file.failures[0], /outer > inner > equal/)
  t.match(file.failures[0], /\+2/)
})

void t.test('what tests say beside their assertions is kept', async (t) => {
  const file = await results(
    passing.replace('    ok 1 - fine\n    1..1', '    # stall: 12 ms\n    ok 1 - fine\n    1..1'),
  )
  t.same(file.comments, ['stall: 12 ms'])
})

void t.test('so is what a file says outside its tests: its seed, and logs as it ends', async (t) => {
  const file = await results(`# BANYAN_SEED=5
${passing}# == a.log
# { total: 3, pass: 3 }
# time=1211.371ms
`)
  t.same(file.comments, ['BANYAN_SEED=5', '== a.log'])
})

void t.test('a file that ends badly is a failure, though all its tests passed', async (t) => {
  t.match(await results(passing, 'exit code 3'), { passed: 2, failed: 1, failures: ['exit code 3'] })
})

void t.test('a file without tests, or cut off in the middle, is a failure', async (t) => {
  t.match(await results('TAP version 14\n1..0\n'), { passed: 0, failed: 1 })
  t.match(await results(''), { passed: 0, failed: 1 })
  t.match(await results(passing.replace('1..2\n', '')), { failed: 1 })
  t.match(await results(passing.replace(/1\.\.2\n$/, '1..3\n')), { failed: 1 })
})

void t.test('a skipped test is a failure, at whatever depth', async (t) => {
  t.match(await results('TAP version 14\nok 1 - later # SKIP no device\n1..1\n'), {
    passed: 0,
    failed: 1,
    failures: [/no device/],
  })
  t.match(await results('TAP version 14\nok 1 - some day # TODO\n1..1\n'), { passed: 0, failed: 1 })
})

void t.test('the runner counts real files, and its exit code says the same', async (t) => {
  const folder = mkdtempSync('test/planted-')
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const plant = (name: string, text: string): void => writeFileSync(`${folder}/${name}.test.ts`, text)
  const run = (): string[] => {
    const { status, stdout } = spawnSync(process.execPath, ['--import=tsx', 'scripts/test.ts', folder], {
      encoding: 'utf8',
    })
    return [String(status), stdout.trimEnd().split('\n').at(-1) ?? '']
  }
  plant('a', "import t from 'tap'\nvoid t.test('now', async (t) => t.ok(true))\n")
  t.same(run(), ['0', '1 passed, 0 failed'])
  plant('b', "import t from 'tap'\nvoid t.test('later', { skip: 'no device' }, async () => {})\n")
  plant('c', "import 'node:nowhere'\n")
  plant('d', "import t from 'tap'\nvoid t.test('now', async (t) => t.ok(true))\nprocess.exitCode = 3\n")
  t.same(run(), ['1', '2 passed, 3 failed'])
})
