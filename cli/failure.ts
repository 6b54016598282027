/**
 * What a command could not do, for the person who called it: one line on stderr, and a non-zero exit. Says what happened,
 * what that means, and what to do.
 */
export class Failure extends Error {
  readonly exitCode: number

  constructor(
    happened: string,
    more: {
      readonly meaning?: string
      readonly remedy?: string
      readonly exitCode?: number
      readonly cause?: unknown
    } = {},
  ) {
    const sentences = [happened, more.meaning, more.remedy].filter((part) => part !== undefined)
    super(sentences.map(asSentence).join(' '), { cause: more.cause })
    this.name = 'Failure'
    this.exitCode = more.exitCode ?? 1
  }
}

/** One line of any error: messages of libraries have several. */
export function oneLine(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error)
  return text.trim().replaceAll(/\s*\n\s*/g, '; ')
}

/** The code of a system call's or a library's error, `ENOENT`. */
export function codeOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined
}

function asSentence(part: string): string {
  return /[.!?]$/.test(part) ? part : `${part}.`
}
