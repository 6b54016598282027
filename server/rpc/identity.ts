import type { ServerUnaryCall } from '@grpc/grpc-js'

/**
 * Who is at the other end of a connection: `local`, who could open a Unix socket of ours (S30), or speaks over loopback
 * where that was asked for by name; or the node that its certificate names; or a `stranger`.
 */
export type Peer = { readonly kind: 'local' | 'stranger' } | { readonly kind: 'node'; readonly node: string }

/** A listener's way to know: each has one of its own, so that no connection is taken for one of another listener. */
export type PeerOf = (call: Pick<ServerUnaryCall<unknown, unknown>, 'getAuthContext'>) => Peer

/** Of a listener that only those can reach who may do everything. */
export const everybodyIsLocal: PeerOf = () => ({ kind: 'local' })

/** Of a listener whose TLS lets nobody in without a certificate of the cluster's authority. */
export const byCertificate: PeerOf = (call) => {
  const name: unknown = call.getAuthContext().sslPeerCertificate?.subject.CN
  return typeof name === 'string' ? { kind: 'node', node: name } : { kind: 'stranger' }
}

/** May this peer say that it is, or speaks for, that node? */
export function speaksFor(peer: Peer, node: string): boolean {
  return peer.kind === 'local' || (peer.kind === 'node' && peer.node === node)
}
