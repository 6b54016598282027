import { readFileSync } from 'node:fs'
import { parse, TomlError } from 'smol-toml'
import { z } from 'zod'
import { codeOf, Failure } from './failure.ts'

export const logLevels = ['error', 'info', 'debug'] as const

const schema = z.strictObject({
  log: z.strictObject({ level: z.enum(logLevels).default('info') }).prefault({}),
  servers: z.strictObject({ restart: z.boolean().default(false) }).prefault({}),
  mount: z
    .strictObject({
      path: z.string().startsWith('/').default('/cluster'),
      unavailable_seconds: z.number().min(1).max(86_400).default(60),
    })
    .prefault({}),
})

/**
 * `config.toml` in the state folder. Options of a command go before it.
 * - at once, in every process: `log.level`; in `up`: `servers.restart`
 * - from the next start on: `mount.path` (of `up`), `mount.unavailable_seconds` (of each mount)
 */
export type Settings = z.infer<typeof schema>

/** Settings that a running process keeps as they were when it started. */
const fixed = ['mount.path', 'mount.unavailable_seconds'] as const

export const standardSettings: Settings = schema.parse({})

/** A missing file is an empty one. @throws Failure that names file, line and remedy */
export function readSettings(file: string): Settings {
  let text = ''
  try {
    text = readFileSync(file, 'utf8')
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return standardSettings
    throw new Failure(`cannot read ${file}: ${codeOf(error)}`, {
      remedy: 'Make it readable, or remove it',
      cause: error,
    })
  }
  return parseSettings(text, file)
}

/** @throws Failure */
export function parseSettings(text: string, file: string): Settings {
  let table: unknown
  try {
    table = parse(text)
  } catch (error) {
    if (!(error instanceof TomlError)) throw error
    const [first = 'not TOML'] = error.message.replace(/^Invalid TOML document: /, '').split('\n')
    throw new Failure(`${file}:${error.line}: ${first}`, {
      meaning: 'The settings are not used',
      remedy: `Correct line ${error.line}`,
      cause: error,
    })
  }
  const parsed = schema.safeParse(table)
  if (parsed.success) return parsed.data
  const [issue] = parsed.error.issues
  const where = [...(issue?.path ?? [])].map(String)
  if (issue?.code === 'unrecognized_keys') where.push(issue.keys[0] ?? '')
  const line = lineOf(text, where)
  const place = line === undefined ? file : `${file}:${line}`
  const what = issue?.code === 'unrecognized_keys' ? 'is no setting' : `is not right: ${issue?.message}`
  throw new Failure(`${place}: ${where.join('.')} ${what}`, {
    meaning: 'The settings are not used',
    remedy: 'Correct it, or take the line out for the default',
    cause: parsed.error,
  })
}

/** The fixed settings in which two differ. */
export function needsRestart(before: Settings, after: Settings): string[] {
  const flat = (settings: Settings): Record<(typeof fixed)[number], unknown> => ({
    'mount.path': settings.mount.path,
    'mount.unavailable_seconds': settings.mount.unavailable_seconds,
  })
  return fixed.filter((name) => flat(before)[name] !== flat(after)[name])
}

/** Where a setting stands: the parser forgets lines. Dotted, in its table, or the table itself; from 1. */
function lineOf(text: string, where: readonly string[]): number | undefined {
  let table: string[] = []
  let found: number | undefined
  for (const [index, line] of text.split('\n').entries()) {
    const header = /^\s*\[([^[\]]+)\]/.exec(line)?.[1]
    const key = /^\s*([\w."' -]+?)\s*=/.exec(line)?.[1]
    if (header !== undefined) table = dotted(header)
    const here = key === undefined ? table : [...table, ...dotted(key)]
    if (header === undefined && key === undefined) continue
    if (here.join('\0') === where.join('\0')) return index + 1
    if (here.length < where.length && here.every((part, at) => part === where[at])) found = index + 1
  }
  return found
}

const dotted = (key: string): string[] => key.split('.').map((part) => part.trim().replace(/^["']|["']$/g, ''))
