import path from 'node:path'
import { parseAddress } from '../config/address.ts'
import type { HostConfig } from '../config/host-config.ts'
import type { StateFolder } from '../state-folder.ts'
import { identityFiles } from '../tls/node-identity.ts'
import type { ManagedEtcd } from './managed-etcd.ts'

/** The etcd of a host whose configuration says that the hosts keep one themselves: a member on each of them. */
export function managedEtcdOf(
  { hosts, node, tls }: HostConfig,
  { port, state }: { readonly port: number; readonly state: StateFolder },
): ManagedEtcd {
  return {
    node,
    hosts: new Map([...hosts].map(([name, at]) => [name, parseAddress(at)?.host ?? at])),
    folder: path.join(state.root, 'etcd'),
    clientPort: port,
    peerPort: port + 1,
    tls: tls.kind === 'certificates' ? identityFiles(tls.folder, node) : undefined,
  }
}
