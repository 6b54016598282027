import { type ChannelCredentials, type ChannelOptions, credentials } from '@grpc/grpc-js'

/** What gRPC needs to reach one address. */
export interface Channel {
  readonly target: string
  readonly credentials: ChannelCredentials
  readonly options: ChannelOptions
}

/**
 * How a process reaches an address: `unix:/path`, which is of this machine, or `NODE@HOST:PORT`, where nobody but that
 * node may answer.
 *
 * @throws RangeError for what is no address, or one that this process has no way to
 */
export type Dial = (address: string) => Channel

/** Dialled directly: there is no name to look up again and again, no proxy, and nothing that another channel shares. */
export const directly: ChannelOptions = {
  'grpc.service_config_disable_resolution': 1,
  'grpc.enable_http_proxy': 0,
  'grpc.use_local_subchannel_pool': 1,
}

export const isUnixSocket = (address: string): boolean => address.startsWith('unix:')

/** For one machine alone. Whoever may open a socket is trusted: they are 0600 in a folder that is 0700. */
export const overUnixSockets: Dial = (address) => {
  if (!isUnixSocket(address)) throw new RangeError(`this process reaches Unix sockets only, not ${address}`)
  return { target: address, credentials: credentials.createInsecure(), options: directly }
}
