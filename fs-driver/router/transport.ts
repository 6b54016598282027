import type { ClientFrame, ServerFrame } from '../../proto/generated/file-service.ts'

/** What a stream to a provider brings. After `onEnd` it brings nothing. */
export interface StreamEvents {
  onFrame(frame: ServerFrame): void
  /** The stream is over, whoever ended it but ourselves. */
  onEnd(reason: string): void
}

/** One stream to one provider. */
export interface ProviderStream {
  send(frame: ClientFrame): void
  /** Throws away what has not been read, and brings no further event. */
  close(): void
}

/** How a driver reaches providers: over gRPC, or inside its own process. */
export interface Transport {
  open(address: string, events: StreamEvents): ProviderStream
  /** Keeps connections to these, so that opening a stream there takes no time, and to no others. */
  keepWarm(addresses: readonly string[]): void
  close(): void
}
