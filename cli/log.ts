import { destination, type Logger, pino } from 'pino'
import type { Settings } from './settings.ts'

export type Fields = Readonly<Record<string, unknown>>

/** A line is an event and fields. `error`: somebody must look. `info`: a state changed. `debug`: one request. */
export interface Log {
  error(event: string, fields?: Fields): void
  info(event: string, fields?: Fields): void
  debug(event: string, fields?: Fields): void
}

export interface ProcessLog extends Log {
  setLevel(level: Settings['log']['level']): void
}

/** Lines that could not be written wait for the next one, up to so much; then they are lost. */
const waitingBytesMax = 1 << 20

/**
 * JSON lines, appended to `file`. Written before the call returns: the last line before a crash is the one that counts.
 * On a full disk lines wait, and the process goes on: what it does matters more than what it says.
 *
 * @throws when the file can't be opened
 */
export function openLog(file: string, name: string, level: Settings['log']['level']): ProcessLog {
  const lines = destination({ dest: file, sync: true, mkdir: true, append: true, maxLength: waitingBytesMax })
  lines.on('error', () => {}) // without a listener it would end the process
  const logger: Logger = pino({ name, level, serializers: { error: errorFields, reason: errorFields } }, lines)
  return {
    error: (event, fields) => logger.error(fields ?? {}, event),
    info: (event, fields) => logger.info(fields ?? {}, event),
    debug: (event, fields) => logger.debug(fields ?? {}, event),
    setLevel: (next) => {
      logger.level = next
    },
  }
}

/** pino's own serializer drops causes that are plain; a stack with its causes is what is looked for. */
function errorFields(value: unknown): unknown {
  if (!(value instanceof Error)) return value
  return {
    message: value.message,
    stack: value.stack,
    ...(value.cause === undefined ? {} : { cause: errorFields(value.cause) }),
  }
}
