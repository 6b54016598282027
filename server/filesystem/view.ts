import type { Key } from '../../proto/ids.ts'

/** Replicated state at one position. Reading never waits. Values belong to the view: nobody writes into them. */
export interface View {
  get(key: Key): Uint8Array | undefined
}
