import type { DirectoryPort, Log } from '../replication/ports.ts'
import type { Versioned, VolumeRecord } from '../replication/record.ts'
import type { Directory } from './directory/directory.ts'

/**
 * Replication's way to the service directory. What fails is only logged, when it begins to fail and when it works again:
 * replication asks several times a second.
 */
export function directoryPort(
  directory: Directory,
  volume: string,
  told: { readonly onRecord: (versioned: Versioned) => void; readonly log: Log },
): DirectoryPort {
  let away = false
  const settle = async (what: string, asked: Promise<Versioned | undefined>): Promise<void> => {
    try {
      const versioned = await asked
      if (away) told.log('directory.answers', { what })
      away = false
      if (versioned !== undefined) told.onRecord(versioned)
    } catch (error) {
      if (!away) told.log('directory.unanswered', { what, error: String(error) })
      away = true
    }
  }
  return {
    swap: (expected: number, next: VolumeRecord) => void settle('swap', directory.swapRecord(volume, expected, next)),
    read: () => void settle('read', directory.readRecord(volume)),
  }
}
