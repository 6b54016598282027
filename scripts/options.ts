import { type ParseArgsConfig, parseArgs } from 'node:util'

type Options = NonNullable<ParseArgsConfig['options']>

/** What a script was called with. `--help` prints how it is used, and ends the process; so does what nobody knows, with 2. */
export function scriptOptions<const T extends Options>(usage: string, options: T, { positionals = false } = {}) {
  const known = { ...options, help: { type: 'boolean', short: 'h' } } as const
  try {
    const found = parseArgs({ options: known, allowPositionals: positionals })
    const asked: { readonly help?: unknown } = found.values
    if (asked.help !== true) return found
    process.stdout.write(`${usage}\n`)
    process.exit(0)
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n${usage}\n`)
    process.exit(2)
  }
}
