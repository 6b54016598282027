import { readFileSync, renameSync, writeFileSync } from 'node:fs'
import { codeOf } from '../failure.ts'

/** Remembers the name of the process last started in a place, for the next `up`; undefined: none ever was. */
export function readMark(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8').trim()
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined
    throw error
  }
}

/** Written before the start: whatever then lives on that place's lifeline has this name. */
export function writeMark(file: string, mark: string): void {
  writeFileSync(`${file}.new`, `${mark}\n`, { mode: 0o600 })
  renameSync(`${file}.new`, file)
}
