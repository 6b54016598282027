import { isIP } from 'node:net'
import path from 'node:path'
import type { NodeId } from '../../proto/ids.ts'
import type { EtcdEndpoint } from '../../server/directory/etcd/endpoints.ts'

/** An etcd of which every host named keeps a member, by its supervisor. All hosts must be told the same. */
export interface ManagedEtcd {
  readonly node: NodeId
  /** The host of each member: an address or a name, without port. */
  readonly hosts: ReadonlyMap<NodeId, string>
  /** The data of this host's member; made when it is missing. */
  readonly folder: string
  readonly clientPort: number
  readonly peerPort: number
  /** Paths of PEM files; undefined: without encryption and proof, for hosts that are all on this machine. */
  readonly tls: { readonly authority: string; readonly certificate: string; readonly key: string } | undefined
}

/** Where the directory's clients find all members. A member's certificate names its node. */
export function endpointsOf({ clientPort, hosts, tls }: ManagedEtcd): readonly EtcdEndpoint[] {
  return [...hosts].map(([node, host]) => ({
    url: url(tls, host, clientPort),
    ...(tls !== undefined && { serverName: node }),
  }))
}

/** Between members. */
export function peerUrl({ hosts, peerPort, tls }: ManagedEtcd, node: NodeId): string {
  return url(tls, hosts.get(node) ?? '', peerPort)
}

/** The whole command line of a member. `state`: of a cluster that is just beginning, or of one that has let it in. */
export function etcdArgs(etcd: ManagedEtcd, state: 'new' | 'existing', cluster: string): readonly string[] {
  const { clientPort, hosts, node, peerPort, tls } = etcd
  const host = hosts.get(node) ?? ''
  const at = isIP(host) === 0 ? '0.0.0.0' : host // a name is no address to listen on
  return [
    dataMark(etcd),
    `--name=${node}`,
    `--listen-client-urls=${url(tls, at, clientPort)}`,
    `--advertise-client-urls=${url(tls, host, clientPort)}`,
    `--listen-peer-urls=${url(tls, at, peerPort)}`,
    `--initial-advertise-peer-urls=${peerUrl(etcd, node)}`,
    `--initial-cluster=${cluster}`,
    `--initial-cluster-state=${state}`,
    '--initial-cluster-token=banyan',
    // Watches read anew what they can't follow: an hour of history is plenty.
    '--auto-compaction-mode=periodic',
    '--auto-compaction-retention=1h',
    // A member that was cut off asks first whether anybody would elect it: else it unseats the leader when it is back.
    '--pre-vote',
    '--logger=zap',
    '--log-level=warn',
    '--log-outputs=stderr',
    ...(tls === undefined
      ? []
      : [
          ...[`--cert-file=${tls.certificate}`, `--key-file=${tls.key}`, `--trusted-ca-file=${tls.authority}`],
          ...[`--peer-cert-file=${tls.certificate}`, `--peer-key-file=${tls.key}`],
          ...[`--peer-trusted-ca-file=${tls.authority}`, '--client-cert-auth', '--peer-client-cert-auth'],
        ]),
  ]
}

/** As all hosts are told: how a cluster begins. */
export function wholeCluster(etcd: ManagedEtcd): string {
  return [...etcd.hosts.keys()].map((node) => `${node}=${peerUrl(etcd, node)}`).join(',')
}

/** On the command line of this host's member and on no other's: etcd locks its folder. */
export function dataMark({ folder }: ManagedEtcd): string {
  return `--data-dir=${path.resolve(folder)}`
}

function url(tls: ManagedEtcd['tls'], host: string, port: number): string {
  return `${tls === undefined ? 'http' : 'https'}://${isIP(host) === 6 ? `[${host}]` : host}:${port}`
}
