import type { Incarnation, NodeId } from './ids.ts'

/** What a file server is to its volume at this moment. */
export const providerRoles = ['primary', 'mirror', 'none'] as const
export type ProviderRole = (typeof providerRoles)[number]

/** A file server that offers the volume, as the service directory advertises it under a lease. */
export interface Advert {
  readonly node: NodeId
  readonly incarnation: Incarnation
  /** Where it is dialled: see `Dial`. */
  readonly address: string
  /** For other machines: `HOST:PORT`; empty: it can be reached from its own only. */
  readonly remote: string
  /** The machine it runs on. */
  readonly host: string
  /** Changes and reads under way there. */
  readonly load: number
  readonly role: ProviderRole
}
