import { hashText } from './random.ts'

/** What happened in a run, line by line. Off, it costs nothing: lines are made only when somebody wants them. */
export class Trace {
  readonly #mode: 'off' | 'hash' | 'lines'
  readonly #now: () => number
  #hash = 0x811c9dc5
  readonly lines: string[] = []

  constructor(mode: 'off' | 'hash' | 'lines', now: () => number) {
    this.#mode = mode
    this.#now = now
  }

  add(line: () => string): void {
    if (this.#mode === 'off') return
    const text = `${this.#now().toFixed(3).padStart(10)} ${line()}`
    this.#hash = hashText(text, this.#hash)
    if (this.#mode === 'lines') this.lines.push(text)
  }

  /** Equal for two runs if and only if (as good as) the same things happened in them. */
  get hash(): string {
    return this.#hash.toString(16).padStart(8, '0')
  }
}
