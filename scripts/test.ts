// Runs the tests: `npm test`, or `npm test -- FILE...`. Ends with `N passed, N failed`.
import { spawn } from 'node:child_process'
import { existsSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { type FileResult, tapResults } from './tap-results.ts'

interface Suite {
  readonly name: string
  readonly files: readonly string[]
  /** Files at once. Mount tests measure stalls and kill servers: they have the machine to themselves. */
  readonly jobs: number
  /** For one file, seconds. */
  readonly limitSeconds: number
}

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
      : wanted.flatMap((name) => (statSync(name).isDirectory() ? testFiles(name) : [path.relative('.', name)]))
  const isMount = (file: string): boolean => file.startsWith(`test${path.sep}mount${path.sep}`)
  return [
    { name: 'unit', files: files.filter((file) => !isMount(file)), jobs: 2, limitSeconds: 300 },
    { name: 'mount', files: files.filter(isMount), jobs: 1, limitSeconds: 600 },
  ].filter((suite) => suite.files.length > 0)
}

async function runSuite(suite: Suite, onFile: (result: FileResult) => void): Promise<boolean> {
  const tap = spawn(
    process.execPath,
    [
      'node_modules/tap/dist/esm/run.mjs',
      '--reporter=tap',
      `--jobs=${suite.jobs}`,
      `--timeout=${suite.limitSeconds}`,
      ...suite.files,
    ],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  )
  const pass = (signal: NodeJS.Signals): void => void tap.kill(signal)
  process.on('SIGINT', pass).on('SIGTERM', pass)
  const results = tapResults(onFile)
  tap.stdout.pipe(results.input)
  const exited = new Promise<number | null>((resolve) => void tap.on('close', resolve))
  const [code] = await Promise.all([exited, results.ended])
  process.off('SIGINT', pass).off('SIGTERM', pass)
  return code === 0
}

function line(result: FileResult): string {
  const verdict = result.failed === 0 ? 'ok    ' : 'FAILED'
  const counts = result.failed === 0 ? `${result.passed} passed` : `${result.passed} passed, ${result.failed} failed`
  return `${verdict} ${result.file.padEnd(60)} ${result.seconds.toFixed(1).padStart(6)} s  ${counts}`
}

async function main(wanted: readonly string[]): Promise<void> {
  const missing = wanted.find((name) => !existsSync(name))
  if (missing !== undefined) {
    console.error(`banyan: there is no ${missing}, so no test was run. Name files or folders under test/.`)
    process.exitCode = 1
    return
  }
  const all: FileResult[] = []
  let clean = true
  const startedAt = process.hrtime.bigint()
  for (const suite of suites(wanted)) {
    console.log(`${suite.name}: ${suite.files.length} files, ${suite.jobs} at a time`)
    clean =
      (await runSuite(suite, (result) => {
        all.push(result)
        console.log([line(result), ...result.failures.map((text) => `  ${text}`)].join('\n'))
      })) && clean
  }
  const passed = all.reduce((sum, result) => sum + result.passed, 0)
  const failures = all.reduce((sum, result) => sum + result.failed, 0)
  const failed = failures === 0 && (!clean || passed === 0) ? 1 : failures // the runner failed, or ran nothing
  const seconds = Number(process.hrtime.bigint() - startedAt) / 1e9
  const report = process.env['BANYAN_TEST_REPORT']
  if (report !== undefined) writeFileSync(report, JSON.stringify({ passed, failed, seconds, files: all }))
  console.log(`${all.length} files in ${seconds.toFixed(0)} s`)
  console.log(`${passed} passed, ${failed} failed`)
  process.exitCode = failed === 0 ? 0 : 1
}

await main(process.argv.slice(2))
