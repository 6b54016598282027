import type { IKeyValue } from 'etcd3'
import type { Versioned } from '../../../replication/record.ts'
import { type Closable, DirectoryRefusal } from '../directory.ts'
import type { Endpoints } from './endpoints.ts'
import { Follow } from './follow.ts'
import type { Keys } from './keys.ts'
import { recordOf } from './record-of.ts'

/** What can be read of these, by volume. What can't be is left out: `readRecord` says why. */
export function recordsOf(keys: Keys, kvs: readonly IKeyValue[]): Map<string, Versioned> {
  return new Map(
    kvs.flatMap((kv) => {
      try {
        return [[keys.volumeOf(kv.key), recordOf(kv)]]
      } catch (error) {
        if (error instanceof DirectoryRefusal) return []
        throw error
      }
    }),
  )
}

/** All records, and each change of one. Records are never deleted. */
export function watchRecords(
  endpoints: Endpoints,
  keys: Keys,
  onChange: (records: ReadonlyMap<string, Versioned>) => void,
): Closable {
  let known = new Map<string, Versioned>()
  return new Follow(endpoints, [keys.records()], {
    everything: ([records = []]) => {
      known = recordsOf(keys, records)
      onChange(known)
    },
    changed: (events) => {
      known = new Map([
        ...known,
        ...recordsOf(
          keys,
          events.map(({ kv }) => kv),
        ),
      ])
      onChange(known)
    },
  })
}
