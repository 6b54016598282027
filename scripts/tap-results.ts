import { type FinalResults, Parser, type Result } from 'tap-parser'

/** One test file as it ended. A test is what a file names at its top: `t.test('behaviour', ...)`. */
export interface FileResult {
  readonly file: string
  readonly passed: number
  readonly failed: number
  readonly seconds: number
  /** What failed, and how, for a person. */
  readonly failures: readonly string[]
  /** What its tests said beside their assertions: figures, seeds, logs after a failure. The last lines of it. */
  readonly comments: readonly string[]
}

const commentsMax = 200

/** How the process of a test file ended: `exit code 1`, `SIGKILL`; undefined when it ended well. */
export type Complaint = string | undefined

/**
 * Reads what one test file prints (TAP 14). Skipped tests are failures: what was not tried is not known to work. A file
 * that fails though none of its tests did (it could not be loaded, ran too long, left the process with an error, or has
 * no test) counts as one failure more, so that the sum is never cleaner than the run.
 */
export class TapResults {
  readonly input: Parser
  readonly #file: string
  readonly #failures: string[] = []
  readonly #comments: string[] = []
  readonly #ended: Promise<FinalResults>
  #passed = 0

  constructor(file: string) {
    this.#file = file
    let end: (results: FinalResults) => void = () => {}
    this.#ended = new Promise((resolve) => {
      end = resolve
    })
    this.input = new Parser({}, end)
    let inner: string[] = []
    this.input.on('child', (test: Parser) => collectFailures(test, (text) => inner.push(text)))
    collectComments(this.input, (text) => this.#comments.push(text))
    this.input.on('assert', (result: Result) => {
      if (result.skip || result.todo) this.#failures.push(`${result.name}\n    skipped: ${result.skip || result.todo}`)
      else if (result.ok) this.#passed += 1
      else this.#failures.push(inner.length > 0 ? inner.join('\n') : described(result))
      inner = []
    })
  }

  /** After the process has ended and everything that it printed was written into `input`. */
  async finish(seconds: number, complaint: Complaint): Promise<FileResult> {
    const results = await this.#ended
    const failures = [...this.#failures]
    if (failures.length === 0 && complaint !== undefined) failures.push(complaint)
    else if (failures.length === 0 && this.#passed === 0) failures.push('no test ran in it')
    else if (failures.length === 0 && !results.ok) failures.push('what it printed is not a whole result')
    const comments = this.#comments.slice(-commentsMax)
    return { file: this.#file, passed: this.#passed, failed: failures.length, seconds, failures, comments }
  }
}

function collectFailures(test: Parser, found: (text: string) => void): void {
  test.on('child', (deeper: Parser) => collectFailures(deeper, found))
  test.on('assert', (result: Result) => {
    if (result.skip || result.todo) found(`${result.fullname}\n    skipped: ${result.skip || result.todo}`)
    // A parent that failed only because of a child has nothing of its own to say.
    else if (!result.ok && result.diag) found(described(result))
  })
}

/** Without those that the runner itself makes. */
function collectComments(test: Parser, found: (text: string) => void): void {
  test.on('child', (deeper: Parser) => collectComments(deeper, found))
  test.on('comment', (text: string) => {
    const said = text.replace(/^\s*#\s?/, '').trimEnd()
    if (said !== '' && !/^(Subtest:|time=|\{ total: )/.test(said)) found(said)
  })
}

const told = [
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
] as const

/** The runner's diagnosis: what differs, where, and why; without the source text that it quotes. */
function described(result: Result): string {
  const diag: Record<string, unknown> = result.diag ?? {}
  const parts = told
    .filter((name) => diag[name] !== undefined && diag[name] !== null)
    .map((name) => `${name}: ${typeof diag[name] === 'string' ? diag[name].trimEnd() : JSON.stringify(diag[name])}`)
  return [result.fullname || result.name, ...parts.map((part) => part.replaceAll(/^/gm, '    '))].join('\n')
}
