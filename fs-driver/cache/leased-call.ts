import type { Caller } from '../../proto/generated/file-service.ts'
import type { CallIdentity, FileCall, FileClient, FileResult } from '../router/file-client.ts'
import type { Coherence } from './coherence.ts'
import type { Held } from './lease-cache.ts'

const nothing: Held = new Map()

/** Asks on behalf of one request, and remembers under which leases the last answer stands. */
export class LeasedCall {
  readonly #client: FileClient
  readonly #coherence: Coherence
  /** Of the last answer, also if it was a refusal. */
  held: Held = nothing

  constructor(client: FileClient, coherence: Coherence) {
    this.#client = client
    this.#coherence = coherence
  }

  /** As FileClient.call. */
  async call(call: FileCall, caller: Caller, how: CallIdentity): Promise<FileResult> {
    this.held = nothing
    const { change, invalidated } = this.#coherence.begin(call)
    let heard = false
    const onOutcome: CallIdentity['onOutcome'] = (outcome, leased) => {
      heard = true
      this.held = this.#coherence.heard(call, outcome, { leased, caller, change })
    }
    try {
      return await this.#client.call(call, caller, { ...how, invalidated, onOutcome })
    } finally {
      if (!heard && change !== undefined) this.#coherence.abandon(change)
    }
  }
}
