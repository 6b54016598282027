import type { Key } from '../../proto/ids.ts'

/**
 * What an operation changes, physically: the same bytes on every mirror, with no clock, allocator or permission in it
 * (R8). Applying a list of effects, in order, again from its beginning, gives the same state (S10).
 */
export type Effect =
  | {
      readonly kind: 'put'
      readonly key: Key
      readonly value: Uint8Array
      /** Clients may go on with what they keep of it: nothing is asked back from them. */
      readonly quiet?: true
    }
  | { readonly kind: 'delete'; readonly key: Key }
  /** Bytes into a blob, which is made if it is not there. A gap before `offset` reads as zeros. */
  | { readonly kind: 'blob.write'; readonly blob: bigint; readonly offset: number; readonly data: Uint8Array }
  /** Exactly `size` bytes long from now on, made if it is not there; what it grew by reads as zeros. */
  | { readonly kind: 'blob.truncate'; readonly blob: bigint; readonly size: number }
  /** So many bytes there are zeros from now on, as far as the blob reaches; where it can, the disk gets room back. */
  | { readonly kind: 'blob.zero'; readonly blob: bigint; readonly offset: number; readonly count: number }
  | { readonly kind: 'blob.delete'; readonly blob: bigint }
