import { type FinalResults, Parser, type Result } from 'tap-parser'

/** One test file as it ended. A test is what a file names at its top: `t.test('behaviour', ...)`. */
export interface FileResult {
  readonly file: string
  readonly passed: number
  readonly failed: number
  readonly seconds: number
  /** What failed, and how, for a person. */
  readonly failures: readonly string[]
}

/**
 * Reads what the test runner prints (TAP 14, one subtest a file) and says how each file ended. A file that fails though
 * none of its tests did (it could not be loaded, ran too long, left the process with an error, or has no test) counts as
 * one failure more, so that the sum is never cleaner than the run.
 */
export function tapResults(onFile: (result: FileResult) => void): {
  readonly input: Parser
  readonly ended: Promise<FinalResults>
} {
  const children = new Map<string, { passed: number; failures: string[] }>()
  const { promise: ended, resolve } = withResolvers<FinalResults>()
  const input = new Parser({}, resolve)

  input.on('child', (child: Parser) => {
    const seen: { passed: number; failures: string[] } = { passed: 0, failures: [] }
    children.set(child.name, seen)
    let inner: string[] = []
    child.on('child', (test: Parser) => collectFailures(test, (text) => inner.push(text)))
    child.on('assert', (result: Result) => {
      if (result.ok) seen.passed += 1
      else seen.failures.push(describe(result, inner))
      inner = []
    })
  })
  input.on('assert', (result: Result) => {
    const seen = children.get(result.name) ?? { passed: 0, failures: [] }
    const silent = seen.failures.length === 0 && (!result.ok || seen.passed === 0)
    const failures = silent ? [describe(result, [])] : seen.failures
    children.delete(result.name)
    onFile({
      file: result.name,
      passed: seen.passed,
      failed: failures.length,
      seconds: (result.time ?? 0) / 1000,
      failures,
    })
  })
  return { input, ended }
}

function collectFailures(test: Parser, found: (text: string) => void): void {
  test.on('child', (deeper: Parser) => collectFailures(deeper, found))
  test.on('assert', (result: Result) => {
    // A parent that failed only because of a child has nothing of its own to say.
    if (!result.ok && result.diag) found(`${result.fullname}\n${detail(result)}`)
  })
}

function describe(result: Result, inner: readonly string[]): string {
  return inner.length > 0 ? inner.join('\n') : `${result.fullname || result.name}\n${detail(result)}`
}

/** The runner's diagnosis: what differs, where, and why; without the source text that it quotes. */
function detail(result: Result): string {
  const diag: Record<string, unknown> = result.diag ?? {}
  const parts = [
    'message',
    'error',
    'tapError',
    'diff',
    'found',
    'wanted',
    'stack',
    'exitCode',
    'signal',
    'timeout',
    'failedSkip',
  ]
    .filter((name) => diag[name] !== undefined && diag[name] !== null)
    .map((name) => `${name}: ${typeof diag[name] === 'string' ? diag[name] : JSON.stringify(diag[name])}`)
  return (parts.length > 0 ? parts.join('\n') : 'no tests were run in it').replaceAll(/^/gm, '    ')
}

function withResolvers<T>(): { promise: Promise<T>; resolve: (value: T) => void } {
  let resolve: (value: T) => void = () => {}
  const promise = new Promise<T>((done) => {
    resolve = done
  })
  return { promise, resolve }
}
