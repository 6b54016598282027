import { z } from 'zod'
import { parseToml, readText } from './config/toml.ts'

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
 * What processes take from `config.toml` in the state folder, or from the file of a host of several. Options of a command
 * go before it.
 * - at once, in every process: `log.level`; in the supervisor: `servers.restart`
 * - from the next start on: `mount.path` (of `up`), `mount.unavailable_seconds` (of each mount)
 */
export type Settings = z.infer<typeof schema>

/** A file that settings come from, again and again. */
export interface SettingsSource {
  readonly file: string
  /** @throws Failure that names file, line and remedy */
  read(): Settings
  /** What a running process keeps as it was when it started, by name, so that two can be compared. */
  fixed(): Readonly<Record<string, unknown>>
}

export const standardSettings: Settings = schema.parse({})

/** `config.toml` of a state folder: a missing file is an empty one. */
export function stateSettings(file: string): SettingsSource {
  let present = standardSettings
  return {
    file,
    read() {
      present = readSettings(file)
      return present
    },
    fixed: () => ({
      'mount.path': present.mount.path,
      'mount.unavailable_seconds': present.mount.unavailable_seconds,
    }),
  }
}

/** A missing file is an empty one. @throws Failure that names file, line and remedy */
export function readSettings(file: string): Settings {
  return parseSettings(readText(file) ?? '', file)
}

/** @throws Failure */
export function parseSettings(text: string, file: string): Settings {
  return parseToml(text, file, schema)
}

/** The names of the fixed settings in which two differ. What only one of them has is no fixed setting of the other. */
export function needsRestart(
  before: Readonly<Record<string, unknown>>,
  after: Readonly<Record<string, unknown>>,
): string[] {
  return Object.keys(before).filter(
    (name) => name in after && JSON.stringify(before[name]) !== JSON.stringify(after[name]),
  )
}
