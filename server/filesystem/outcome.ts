import type { Reply } from '../../proto/generated/file-service.ts'
import type { Effect } from '../store/effect.ts'

/** What an operation says: its reply, and what is to change before anybody may see it. */
export interface Outcome {
  readonly reply: NonNullable<Reply['kind']>
  readonly effects: readonly Effect[]
  /** READ of contents that stand in a blob: the shell fetches them and puts them into the `data` reply. */
  readonly blobRead?: { readonly blob: bigint; readonly offset: number; readonly length: number }
  /** READDIR: the shell scans these keys (prefix, from a key on) and builds the listing with `listing()`. */
  readonly scan?: { readonly prefix: Key; readonly from: Key; readonly count: number }
}

type Key = import('../../proto/ids.ts').Key
