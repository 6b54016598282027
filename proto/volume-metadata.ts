import { Metadata } from '@grpc/grpc-js'

const header = 'banyan-volume'

/** For a call that is about a volume: one file server serves several. */
export function volumeMetadata(volume: string): Metadata {
  const metadata = new Metadata()
  metadata.set(header, volume)
  return metadata
}

/** undefined: the caller does not say; then it is the server's first. */
export function volumeIn(metadata: Metadata): string | undefined {
  const [name] = metadata.get(header)
  return typeof name === 'string' && name !== '' ? name : undefined
}
