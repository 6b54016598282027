import type { Host } from './host.ts'
import type { MountDriver } from './mount-driver.ts'

export interface MountWords {
  readonly dir: string
  readonly driver: MountDriver
  readonly provider?: string | undefined
  readonly readOnly?: boolean
}

/** What the processes of a mount are told of it, after the command's name. */
export const mountWords = (
  { dir, driver, provider, readOnly = false }: MountWords,
  { args }: Pick<Host, 'args'>,
): readonly string[] => [
  ...[dir, ...args, '--driver', driver],
  ...(provider === undefined ? [] : ['--provider', provider]),
  ...(readOnly ? ['--read-only'] : []),
]
