import path from 'node:path'
import { watch } from 'chokidar'
import { oneLine } from './failure.ts'
import type { Log } from './log.ts'
import { needsRestart, type Settings, type SettingsSource } from './settings.ts'

/** An editor writes a file in several steps: it counts when it has stood for so long. */
const settledMs = 200

export interface SettingsWatch {
  /** From then on no change is missed. */
  readonly ready: Promise<void>
  close(): Promise<void>
}

/**
 * Reads the settings again whenever their file changes, and hands them over. With an error in the file the settings stay
 * as they are; the log says why, and which changes wait for the next start. The source has been read once before.
 */
export function watchSettings(source: SettingsSource, log: Log, apply: (settings: Settings) => void): SettingsWatch {
  const { file } = source
  let present = source.fixed()
  // The folder is watched, not the file: it may not be there yet, and editors replace it.
  const watcher = watch(path.dirname(file), {
    depth: 0,
    ignoreInitial: true,
    ignored: (name) => name !== path.dirname(file) && name !== file,
    awaitWriteFinish: { stabilityThreshold: settledMs, pollInterval: settledMs / 4 },
  })
  const reload = (): void => {
    let next: Settings
    try {
      next = source.read()
    } catch (error) {
      log.error('settings.refused', { reason: oneLine(error) })
      return
    }
    const waiting = needsRestart(present, source.fixed())
    present = source.fixed()
    log.info('settings.read', waiting.length > 0 ? { fromNextStartOn: waiting } : {})
    apply(next)
  }
  watcher.on('add', reload).on('change', reload).on('unlink', reload)
  watcher.on('error', (error) => log.error('settings.unwatched', { error }))
  const ready = new Promise<void>((resolve) => void watcher.once('ready', () => resolve()))
  return { ready, close: () => watcher.close() }
}
