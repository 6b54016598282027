import type { DirectoryPort, Log } from '../replication/ports.ts'
import type { Versioned, VolumeRecord } from '../replication/record.ts'
import type { Directory } from './directory/directory.ts'

/** Replication's way to the service directory. What fails is only logged: replication asks again. */
export function directoryPort(
  directory: Directory,
  volume: string,
  told: { readonly onRecord: (versioned: Versioned) => void; readonly log: Log },
): DirectoryPort {
  const settle = async (what: string, asked: Promise<Versioned | undefined>): Promise<void> => {
    try {
      const versioned = await asked
      if (versioned !== undefined) told.onRecord(versioned)
    } catch (error) {
      told.log('directory.unanswered', { what, error: String(error) })
    }
  }
  return {
    swap: (expected: number, next: VolumeRecord) => void settle('swap', directory.swapRecord(volume, expected, next)),
    read: () => void settle('read', directory.readRecord(volume)),
  }
}
