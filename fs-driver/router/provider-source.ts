import type { Incarnation, NodeId } from '../../proto/ids.ts'

/** A file server that offers the volume, as the service directory advertises it under a lease. */
export interface Advert {
  readonly node: NodeId
  readonly incarnation: Incarnation
  /** What gRPC dials: `unix:/path` or `host:port`. */
  readonly address: string
  /** The machine it runs on. */
  readonly host: string
  /** Changes and reads under way there. */
  readonly load: number
  readonly role: 'primary' | 'mirror' | 'none'
}

/** Where the router learns who offers the volume. */
export interface ProviderSource {
  /**
   * `onChange` gets the whole list each time, first the present one. That an advert is gone says nothing about the
   * provider: only that the directory does not hear of it (S25).
   */
  watch(onChange: (adverts: readonly Advert[]) => void): { close(): void }
}
