import type { IKeyValue } from 'etcd3'
import * as wire from '../../../proto/generated/directory-service.ts'
import type { Versioned } from '../../../replication/record.ts'
import { DirectoryRefusal } from '../directory.ts'
import { recordFromWire } from '../wire.ts'

/** @throws DirectoryRefusal */
export function recordOf({ key, value, version }: IKeyValue): Versioned {
  try {
    return { version: Number(version), record: recordFromWire(wire.VolumeRecord.decode(value)) }
  } catch (error) {
    throw new DirectoryRefusal(`${key.toString()} in etcd cannot be read`, { cause: error })
  }
}
