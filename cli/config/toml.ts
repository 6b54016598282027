import { readFileSync } from 'node:fs'
import { parse, TomlError } from 'smol-toml'
import type { z } from 'zod'
import { codeOf, Failure } from '../failure.ts'

const meaning = 'The settings are not used'

/** undefined: there is no such file. @throws Failure */
export function readText(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined
    throw new Failure(`cannot read ${file}: ${codeOf(error)}`, {
      remedy: 'Make it readable, or remove it',
      cause: error,
    })
  }
}

/** What TOML says, judged by `schema`. @throws Failure with file, line, setting and remedy, whatever `text` is */
export function parseToml<Schema extends z.ZodType>(
  text: string,
  file: string,
  schema: Schema,
  remedyFor: (setting: string) => string = () => 'Correct it, or take the line out for the default',
): z.infer<Schema> {
  const parsed = schema.safeParse(tableOf(text, file))
  if (parsed.success) return parsed.data
  const [issue] = parsed.error.issues
  const where = [...(issue?.path ?? [])].map(String)
  const unknown = issue?.code === 'unrecognized_keys'
  if (unknown) where.push(issue.keys[0] ?? '')
  const what = unknown ? 'is no setting' : `is not right: ${issue?.message}`
  throw refused({ text, file, where, what, remedy: remedyFor(where.join('.')), cause: parsed.error })
}

/** A setting that can't stand as it is. */
export function refused(about: {
  readonly text: string
  readonly file: string
  readonly where: readonly string[]
  readonly what: string
  readonly remedy: string
  readonly cause?: unknown
}): Failure {
  const { text, file, where, what, remedy, cause } = about
  const line = lineOf(text, where)
  const place = line === undefined ? file : `${file}:${line}`
  return new Failure(`${place}: ${where.join('.')} ${what}`, { meaning, remedy, cause })
}

function tableOf(text: string, file: string): unknown {
  try {
    return parse(text)
  } catch (error) {
    if (!(error instanceof TomlError)) throw error
    const [first = 'not TOML'] = error.message.replace(/^Invalid TOML document: /, '').split('\n')
    throw new Failure(`${file}:${error.line}: ${first}`, {
      meaning,
      remedy: `Correct line ${error.line}`,
      cause: error,
    })
  }
}

/** Where a setting stands: the parser forgets lines. Dotted, in its table, or the table itself; from 1. */
function lineOf(text: string, where: readonly string[]): number | undefined {
  let table: string[] = []
  let found: number | undefined
  const counts = new Map<string, number>()
  for (const [index, line] of text.split('\n').entries()) {
    const element = /^\s*\[\[([^[\]]+)\]\]/.exec(line)?.[1]
    const header = element ?? /^\s*\[([^[\]]+)\]/.exec(line)?.[1]
    const key = /^\s*([\w."' -]+?)\s*=/.exec(line)?.[1]
    if (header !== undefined) table = dotted(header)
    if (element !== undefined) {
      const at = counts.get(element) ?? 0
      counts.set(element, at + 1)
      table = [...table, String(at)]
    }
    const here = key === undefined ? table : [...table, ...dotted(key)]
    if (header === undefined && key === undefined) continue
    if (isWithin(here, where)) return index + 1
    if (here.length < where.length && here.every((part, at) => part === where[at])) found = index + 1
  }
  return found
}

/** The same setting, or the first line of its table. */
const isWithin = (here: readonly string[], where: readonly string[]): boolean =>
  where.length > 0 && here.length === where.length && here.every((part, at) => part === where[at])

const dotted = (key: string): string[] => key.split('.').map((part) => part.trim().replace(/^["']|["']$/g, ''))
