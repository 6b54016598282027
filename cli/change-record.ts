import type { OperatorChange } from '../replication/operator-changes.ts'
import type { Versioned, VolumeRecord } from '../replication/record.ts'
import type { Directory } from '../server/directory/directory.ts'
import { Failure, oneLine } from './failure.ts'
import type { Host, OpenDirectory } from './host.ts'

/** Members change the record as well: whoever comes second looks again. More often than this is no coincidence. */
const triesMax = 20
const againMs = 100
const lookMs = 250

/** Runs `use` with this host's way to the directory. @throws Failure when the directory does not answer */
export async function withDirectory<T>(host: Host, use: (directory: OpenDirectory) => Promise<T>): Promise<T> {
  const directory = await host.openDirectory()
  try {
    return await use(directory)
  } catch (error) {
    if (error instanceof Failure) throw error
    throw new Failure(`the directory does not answer: ${oneLine(error)}`, {
      meaning: 'It is not known whether anything was changed',
      remedy: `Look at "banyan status${host.flag}", then run this again`,
      cause: error,
    })
  } finally {
    await directory.close()
  }
}

/** Changes a volume's record by hand, whoever else changes it. @returns what it is then. @throws Failure */
export async function changeRecord(
  directory: Directory,
  volume: string,
  change: (record: VolumeRecord) => OperatorChange,
): Promise<VolumeRecord> {
  const by = `operator/${process.pid}/${Date.now()}`
  for (let tries = 0; tries < triesMax; tries += 1) {
    const present = await recordOf(directory, volume)
    const wanted = change(present.record)
    if (wanted.kind === 'refused')
      throw new Failure(`volume ${volume}: ${wanted.reason}`, { meaning: 'Nothing was changed' })
    const changedBy = `${by}/${tries}`
    const after = await directory.swapRecord(volume, present.version, { ...wanted.record, changedBy })
    if (after.record.changedBy === changedBy) return after.record
    await new Promise((resolve) => setTimeout(resolve, againMs))
  }
  throw new Failure(`the record of volume ${volume} changes all the time`, {
    meaning: 'Nothing was changed',
    remedy: 'Look at "banyan status", then run this again',
  })
}

/** @throws Failure when there is no such volume */
export async function recordOf(directory: Directory, volume: string): Promise<Versioned> {
  const present = await directory.readRecord(volume)
  if (present !== undefined) return present
  const names = [...(await directory.readRecords()).keys()]
  throw new Failure(`there is no volume ${volume}`, {
    meaning: 'Nothing was changed',
    remedy: names.length === 0 ? 'Start the servers first' : `Name one of ${names.join(', ')}`,
  })
}

/** Resolves when the record is as wanted. @throws Failure after `limitMs`, with `slow` as its reason */
export async function untilRecord(
  directory: Directory,
  volume: string,
  how: { readonly is: (record: VolumeRecord) => boolean; readonly limitMs: number; readonly slow: Failure },
): Promise<void> {
  const end = performance.now() + how.limitMs
  for (;;) {
    const present = await directory.readRecord(volume).catch(() => undefined)
    if (present !== undefined && how.is(present.record)) return
    if (performance.now() > end) throw how.slow
    await new Promise((resolve) => setTimeout(resolve, lookMs))
  }
}
