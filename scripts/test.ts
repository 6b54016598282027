// Runs the tests: `npm test`, or `npm test -- FILE...`. Ends with `N passed, N failed`.
//
// Each file is a program of its own that prints TAP. They are not run by tap's own runner: that puts its hooks into every
// Node which a test starts, and our servers are to be tested as they are run.
import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { type Complaint, type FileResult, TapResults } from './tap-results.ts'

interface Suite {
  readonly name: string
  readonly files: readonly string[]
  /** Files at once. */
  readonly jobs: number
  /** For one file, seconds. */
  readonly limitSeconds: number
}

/** From SIGTERM to SIGKILL for a file that ran too long: its cleaning up may take some time. */
const endMs = 20_000

/** They measure how long clients are held up, or are at the edge of what two processors do: nothing runs beside them. */
const measuring: ReadonlySet<string> = new Set([
  ...['power-loss', 'returning-mirror'].map((name) => `test/lab/${name}.test.ts`),
  ...['directory-holds', 'freeze', 'hung-disk', 'linearizability', 'locks', 'resync', 'write-behind']
    .concat(['all', 'driver', 'mirror', 'primary'].map((what) => `kill-${what}`))
    .map((name) => `test/mount/${name}.test.ts`),
])

/** Begun first: begun last it would run alone for minutes. */
const longest: ReadonlySet<string> = new Set(['test/lab/partitions.test.ts', 'test/mount/many-files.test.ts'])

const running = new Set<ChildProcess>()
let stopped = false

function testFiles(folder: string): string[] {
  if (!existsSync(folder)) return []
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.test.ts'))
    .map((name) => path.join(folder, name))
    .sort()
}

function suites(wanted: readonly string[]): Suite[] {
  const files =
    wanted.length === 0
      ? testFiles('test')
      : wanted
          .flatMap((name) => (statSync(name).isDirectory() ? testFiles(name) : [name]))
          .map((name) => path.relative('.', name))
  const isIn = (folder: string) => (file: string) => file.startsWith(path.join('test', folder) + path.sep)
  const [isMount, isSimulation, isLab] = [isIn('mount'), isIn('simulation'), isIn('lab')]
  const isUnit = (file: string): boolean => !isMount(file) && !isSimulation(file) && !isLab(file)
  return [
    { name: 'unit', files: files.filter(isUnit), jobs: 2, limitSeconds: 300 },
    // These share their seeds out among processes of their own.
    { name: 'simulation', files: files.filter(isSimulation), jobs: 1, limitSeconds: 1200 },
    ...inTwoParts({ name: 'mount', files: files.filter(isMount), jobs: 2, limitSeconds: 600 }),
    // Several hosts each, on networks of their own. Mostly they wait: for leases to run out, hosts to start, sessions to end.
    ...inTwoParts({ name: 'lab', files: files.filter(isLab), jobs: 2, limitSeconds: 900 }),
  ].filter((suite) => suite.files.length > 0)
}

function inTwoParts({ name, files, ...suite }: Suite): Suite[] {
  const together = files.filter((file) => !measuring.has(file))
  return [
    { ...suite, name, files: together.toSorted((a, b) => Number(longest.has(b)) - Number(longest.has(a))) },
    { ...suite, name: `${name}, one at a time`, files: files.filter((file) => measuring.has(file)), jobs: 1 },
  ]
}

async function runSuite(suite: Suite, onFile: (result: FileResult) => void): Promise<void> {
  const waiting = [...suite.files]
  const worker = async (): Promise<void> => {
    for (let file = waiting.shift(); file !== undefined && !stopped; file = waiting.shift()) {
      onFile(await runFile(file, suite.limitSeconds))
    }
  }
  await Promise.all(Array.from({ length: suite.jobs }, worker))
}

async function runFile(file: string, limitSeconds: number): Promise<FileResult> {
  const results = new TapResults(file)
  const began = performance.now()
  const child = spawn(process.execPath, ['--import=tsx', file], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, TAP_TIMEOUT: String(limitSeconds) },
  })
  running.add(child)
  let late = false
  let killer: NodeJS.Timeout | undefined
  const timer = setTimeout(() => {
    late = true
    child.kill('SIGTERM')
    killer = setTimeout(() => child.kill('SIGKILL'), endMs)
  }, limitSeconds * 1000)
  child.stdout.pipe(results.input)
  const complaint = await new Promise<Complaint>((resolve) => {
    child.on('error', (error) => resolve(error.message))
    child.on('exit', (code, signal) => {
      // A process that outlives the test has its stdout: waiting for that to end would be waiting for ever.
      const closed = new Promise((done) => child.stdout.once('close', done))
      const grace = new Promise((done) => void setTimeout(done, 1000).unref())
      const said = late
        ? `it ran longer than ${limitSeconds} s`
        : (signal ?? (code === 0 ? undefined : `exit code ${code}`))
      void Promise.race([closed, grace]).then(() => resolve(said))
    })
  })
  clearTimeout(timer)
  clearTimeout(killer)
  running.delete(child)
  child.stdout.unpipe(results.input)
  results.input.end()
  return await results.finish((performance.now() - began) / 1000, complaint)
}

function line(result: FileResult): string {
  const verdict = result.failed === 0 ? 'ok    ' : 'FAILED'
  const counts = result.failed === 0 ? `${result.passed} passed` : `${result.passed} passed, ${result.failed} failed`
  return `${verdict} ${result.file.padEnd(60)} ${result.seconds.toFixed(1).padStart(6)} s  ${counts}`
}

const indented = (texts: readonly string[]): string[] => texts.map((text) => text.replaceAll(/^/gm, '  '))

/** Once more, at the end: who keeps only the last part of a long output still sees what failed. */
function recap(all: readonly FileResult[]): string[] {
  const failed = all.filter((result) => result.failed > 0)
  if (failed.length === 0) return []
  return ['', 'What failed:', ...failed.flatMap((result) => [line(result), ...indented(result.failures)]), '']
}

async function main(wanted: readonly string[]): Promise<void> {
  const missing = wanted.find((name) => !existsSync(name))
  if (missing !== undefined) {
    console.error(`banyan: there is no ${missing}, so no test was run. Name files or folders under test/.`)
    process.exitCode = 1
    return
  }
  const stop = (signal: NodeJS.Signals): void => {
    stopped = true
    for (const child of running) child.kill(signal)
  }
  process.on('SIGINT', stop).on('SIGTERM', stop)
  const all: FileResult[] = []
  const began = performance.now()
  for (const suite of suites(wanted)) {
    console.log(`${suite.name}: ${suite.files.length} files, ${suite.jobs} at a time`)
    await runSuite(suite, (result) => {
      all.push(result)
      const comments = result.comments.map((text) => `         ${text}`)
      console.log([line(result), ...comments, ...indented(result.failures)].join('\n'))
    })
  }
  const passed = all.reduce((sum, result) => sum + result.passed, 0)
  const failures = all.reduce((sum, result) => sum + result.failed, 0)
  const failed = failures === 0 && (stopped || passed === 0) ? 1 : failures // ended early, or nothing was there to run
  const seconds = (performance.now() - began) / 1000
  const report = process.env['BANYAN_TEST_REPORT']
  if (report !== undefined) writeFileSync(report, JSON.stringify({ passed, failed, seconds, files: all }))
  for (const text of recap(all)) console.log(text)
  console.log(`${all.length} files in ${seconds.toFixed(0)} s`)
  console.log(`${passed} passed, ${failed} failed`)
  process.exitCode = failed === 0 ? 0 : 1
}

await main(process.argv.slice(2))
process.exit()
