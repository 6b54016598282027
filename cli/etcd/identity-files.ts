import { readFileSync } from 'node:fs'
import type { EtcdSettings } from '../../server/directory/etcd/endpoints.ts'
import type { ManagedEtcd } from './managed-etcd.ts'

/** A node's certificate proves it to etcd as to everybody else. */
export function readIdentityFiles(files: NonNullable<ManagedEtcd['tls']>): NonNullable<EtcdSettings['tls']> {
  return {
    authority: readFileSync(files.authority),
    certificate: readFileSync(files.certificate),
    key: readFileSync(files.key),
  }
}
