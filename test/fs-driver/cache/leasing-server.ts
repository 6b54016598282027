import type { FileCall, Outcome } from '../../../fs-driver/router/file-client.ts'
import { errnos, FsError } from '../../../proto/errno.ts'
import type { Caller } from '../../../proto/generated/file-service.ts'
import { operate } from '../../../server/filesystem/operate.ts'
import { MemoryVolume } from '../../fixtures/memory-volume.ts'
import { answeredInodes, touchedInodes } from '../../fixtures/touched-inodes.ts'

/** What one driver may be told, in the order in which it is to hear it. */
export type Told =
  | {
      readonly kind: 'outcome'
      readonly id: number
      readonly outcome: Outcome
      readonly leased: readonly bigint[]
    }
  | { readonly kind: 'recall'; readonly inos: readonly bigint[] }

interface Client {
  readonly leases: Set<bigint>
  readonly told: Told[]
}

/**
 * A provider in the plainest form: one thing after the other, a lease on everything that an answer is about, and every
 * change recalls from everybody who has not said that he forgot.
 */
export class LeasingServer {
  readonly volume = new MemoryVolume()
  readonly #clients: Client[]
  #nowNs = 1n

  constructor(clients: number) {
    this.#clients = Array.from({ length: clients }, () => ({ leases: new Set<bigint>(), told: [] }))
  }

  told(client: number): Told[] {
    return this.#client(client).told
  }

  /** What the volume says now, without a lease. */
  look(call: FileCall, caller: Caller): Outcome {
    try {
      return { kind: 'result', result: this.volume.run(caller, call, this.#nowNs) }
    } catch (error) {
      if (error instanceof FsError) return { kind: 'errno', errno: errnos[error.errno] }
      throw error
    }
  }

  /**
   * Executes it, and puts the answer into the client's queue. Before a change is there, everybody has let go of what it
   * touches: `letGo` is called for each client that has to, with the recall at the end of its queue.
   */
  execute(
    client: number,
    id: number,
    call: FileCall,
    how: { caller: Caller; invalidated: readonly bigint[]; letGo: (client: number) => void },
  ): void {
    this.#nowNs += 1_000n
    let outcome: Outcome
    try {
      const { effects, ...rest } = operate(this.volume, how.caller, call, { nowNs: this.#nowNs })
      this.#recall(client, new Set(touchedInodes(effects)), how)
      this.volume.apply(effects)
      outcome = { kind: 'result', result: this.volume.answer(call, { effects, ...rest }) }
    } catch (error) {
      if (!(error instanceof FsError)) throw error
      outcome = { kind: 'errno', errno: errnos[error.errno] }
    }
    const me = this.#client(client)
    const leased = answeredInodes(call, outcome)
    for (const ino of leased) me.leases.add(ino)
    me.told.push({ kind: 'outcome', id, outcome, leased })
  }

  #recall(
    changer: number,
    touched: ReadonlySet<bigint>,
    { invalidated, letGo }: { invalidated: readonly bigint[]; letGo: (client: number) => void },
  ): void {
    for (const [index, { leases, told }] of this.#clients.entries()) {
      const inos = [...touched].filter((ino) => leases.has(ino) && !(index === changer && invalidated.includes(ino)))
      for (const ino of inos) leases.delete(ino)
      if (inos.length === 0) continue
      told.push({ kind: 'recall', inos })
      letGo(index)
    }
  }

  #client(index: number): Client {
    const client = this.#clients[index]
    if (client === undefined) throw new Error(`there is no client ${index}`)
    return client
  }
}
