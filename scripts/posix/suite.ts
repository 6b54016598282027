import { spawn } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { Parser, type Result } from 'tap-parser'

/** What one file of pjdfstest came to. */
export interface SuiteFile {
  readonly file: string
  readonly passed: number
  /** Checks that failed, as the suite itself says they do on this system. */
  readonly expected: number
  /** The failed checks as they were said, and what was wrong with the file as a whole. */
  readonly failures: readonly string[]
}

/** Files of the suite below `folder`, in order. `only`: the beginnings of names, such as `chmod` or `open/0`. */
export function suiteFiles(folder: string, only: readonly string[]): string[] {
  const tests = join(folder, 'tests')
  if (!existsSync(join(folder, 'pjdfstest')) || !existsSync(tests)) {
    throw new Error(
      `${folder} has no built pjdfstest. Get it (git clone https://github.com/pjd/pjdfstest) and build it there: ` +
        'autoreconf -ifs && ./configure && make',
    )
  }
  return readdirSync(tests, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.t') && (only.length === 0 || only.some((start) => name.startsWith(start))))
    .sort()
}

/**
 * Runs one file in `directory`, on the file system that is tested. What it prints that is no result, or less than it
 * announced, is a failure too.
 */
export function runSuiteFile(folder: string, file: string, directory: string): Promise<SuiteFile> {
  const failures: string[] = []
  let [passed, expected] = [0, 0]
  // Not `cwd`: spawning waits until the child is there, and this process may have to mend what the child waits for.
  const script = 'cd "$1" && exec sh "$2"'
  const args = ['-c', script, 'sh', directory, join(folder, 'tests', file)]
  const child = spawn('sh', args, { cwd: '/', stdio: ['ignore', 'pipe', 'inherit'] })
  return new Promise((done, fail) => {
    let [whole, checks] = [false, 0]
    const parser = new Parser({}, ({ ok, count, plan }) => {
      whole = ok && (count > 0 || plan.skipAll)
      checks = count
    })
    parser.on('assert', (result: Result) => {
      if (result.ok) passed += 1
      else if (result.todo) expected += 1
      else failures.push(`${result.id} ${result.name}`)
    })
    child.on('error', fail)
    child.stdout.on('data', (bytes: Buffer) => parser.write(bytes))
    child.on('close', (code) => {
      parser.end()
      if (failures.length === 0 && (!whole || code !== 0)) {
        failures.push(`what it printed is no whole result, after ${checks} checks (exit code ${code})`)
      }
      done({ file, passed, expected, failures })
    })
  })
}
