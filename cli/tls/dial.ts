import { checkServerIdentity, type PeerCertificate } from 'node:tls'
import { type ChannelCredentials, type ChannelOptions, credentials } from '@grpc/grpc-js'
import { type Dial, directly, isUnixSocket, overUnixSockets } from '../../proto/channel.ts'
import type { NodeIdentity } from './node-identity.ts'

/** So long nothing may come from another machine while something is under way, before it is asked whether it is there. */
const overNetwork: ChannelOptions = {
  ...directly,
  'grpc.keepalive_time_ms': 1000,
  'grpc.keepalive_timeout_ms': 2000,
  'grpc.initial_reconnect_backoff_ms': 100,
  'grpc.max_reconnect_backoff_ms': 500,
}

/** Other hosts by mutual TLS: nobody answers but the node that the address names. This machine by Unix sockets. */
export function dialWith(identity: NodeIdentity): Dial {
  const known = new Map<string, ChannelCredentials>()
  return (address) => {
    if (isUnixSocket(address)) return overUnixSockets(address)
    const { node, target } = parsed(address)
    const proof = known.get(node) ?? proofFor(node, identity)
    known.set(node, proof)
    return { target, credentials: proof, options: { ...overNetwork, 'grpc.ssl_target_name_override': node } }
  }
}

/** Without encryption and proof, for hosts that are all on this machine: asked for by name in the configuration. */
export const dialPlaintext: Dial = (address) => {
  if (isUnixSocket(address)) return overUnixSockets(address)
  return { target: parsed(address).target, credentials: credentials.createInsecure(), options: overNetwork }
}

function proofFor(node: string, { authority, certificate, key }: NodeIdentity): ChannelCredentials {
  return credentials.createSsl(authority, key, certificate, {
    checkServerIdentity: (host: string, seen: PeerCertificate) => {
      if (seen.subject.CN !== node) return new Error(`this is ${String(seen.subject.CN)}, not ${node}`)
      return checkServerIdentity(host, seen)
    },
  })
}

/** @throws RangeError */
function parsed(address: string): { readonly node: string; readonly target: string } {
  const [, node, target] = /^([a-z0-9][a-z0-9-]*)@(\S+)$/.exec(address) ?? []
  if (node === undefined || target === undefined) throw new RangeError(`no NODE@HOST:PORT: ${address}`)
  return { node, target }
}
