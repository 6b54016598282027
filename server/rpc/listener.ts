import { chmodSync, rmSync } from 'node:fs'
import { type Server, ServerCredentials } from '@grpc/grpc-js'
import { byCertificate, everybodyIsLocal, type PeerOf } from './identity.ts'

/** Where a gRPC server listens, and what it knows of those who come there. */
export type Listener =
  | { readonly kind: 'unix'; readonly socket: string }
  | { readonly kind: 'tls'; readonly address: string; readonly identity: ServerIdentity }
  /** Without encryption: over loopback, when that was asked for by name. */
  | { readonly kind: 'loopback'; readonly address: string }

/** PEM. Whoever comes must have a certificate of the same authority. */
export interface ServerIdentity {
  readonly authority: Buffer
  readonly certificate: Buffer
  readonly key: Buffer
}

export function peersAt(listener: Listener): PeerOf {
  return listener.kind === 'tls' ? byCertificate : everybodyIsLocal
}

/**
 * The caller sees to it that nobody else listens on the socket: what stands there is left from before, and goes.
 *
 * @returns the port, where there is one: an address may leave it open with 0
 */
export async function listenAt(server: Server, listener: Listener): Promise<number> {
  if (listener.kind === 'unix') rmSync(listener.socket, { force: true })
  const port = await new Promise<number>((resolve, reject) => {
    const target = listener.kind === 'unix' ? `unix:${listener.socket}` : listener.address
    server.bindAsync(target, credentialsOf(listener), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    )
  })
  if (listener.kind === 'unix') chmodSync(listener.socket, 0o600)
  return port
}

function credentialsOf(listener: Listener): ServerCredentials {
  if (listener.kind !== 'tls') return ServerCredentials.createInsecure()
  const { authority, certificate, key } = listener.identity
  return ServerCredentials.createSsl(authority, [{ private_key: key, cert_chain: certificate }], true)
}
