import type { Effect } from '../../server/store/effect.ts'
import { encodeBody } from './body.ts'
import { endHold, type Hold, holdIn, holdsIn } from './holds.ts'
import type { SimStorage } from './storage.ts'

export interface HoldServicePorts {
  now(): number
  /** Asks a session for a hold, wherever it is attached. */
  ask(hold: Hold, object: string): void
  /** Puts an entry into the journal, if this member may. */
  propose(body: Uint8Array): boolean
  /** Does something after this step. */
  afterwards(act: () => void): void
}

interface Wait {
  readonly hold: Hold
  /** Since then nothing has come from who has it. */
  since: number
  askedAt: number
  readonly wake: ((released: boolean) => void)[]
}

const askMs = 200
/** Shorter than that of the product, as runs are short; longer than any lease. */
export const fenceMs = 5000
const restMs = 100

/** Holds at a primary, by the rules of server/session/holds.ts, whose promises a simulation can't wait for. */
export class HoldService {
  readonly #ports: HoldServicePorts
  readonly #storage: SimStorage
  readonly #waits = new Map<string, Wait>()
  readonly #resting = new Map<string, number>()

  constructor(ports: HoldServicePorts, storage: SimStorage) {
    this.#ports = ports
    this.#storage = storage
  }

  get waiting(): number {
    return this.#waits.size
  }

  /** Another session may be writing there, and not saying so. */
  isHeldByOther(object: string, session: string | undefined): boolean {
    const hold = holdIn(this.#storage.pending, object)
    return hold !== undefined && hold.session !== session
  }

  stands(object: string, hold: Hold): boolean {
    const found = holdIn(this.#storage.pending, object)
    return found?.session === hold.session && found.number === hold.number
  }

  mayTake(object: string): boolean {
    return !this.#waits.has(object) && (this.#resting.get(object) ?? 0) < this.#ports.now()
  }

  /** These effects are in the journal. `under`: of what was held back, the object. */
  proposed(effects: readonly Effect[], under?: string): void {
    for (const { object, hold } of holdsIn(effects)) if (hold === undefined) this.#released(object)
    const wait = under === undefined ? undefined : this.#waits.get(under)
    if (wait !== undefined) wait.since = this.#ports.now()
  }

  /** Calls back when nobody else has it, in pending state; or with false, when this member does not decide any more. */
  whenReleased(object: string, session: string | undefined, then: (released: boolean) => void): void {
    const hold = holdIn(this.#storage.pending, object)
    if (hold === undefined || hold.session === session) return then(true)
    const now = this.#ports.now()
    let wait = this.#waits.get(object)
    if (wait === undefined) {
      wait = { hold, since: now, askedAt: now, wake: [] }
      this.#waits.set(object, wait)
      this.#ports.ask(hold, object)
    }
    wait.wake.push(then)
  }

  onTick(): void {
    const now = this.#ports.now()
    for (const [object, wait] of this.#waits) {
      if (now - wait.since > fenceMs) this.#fence(object)
      else if (now - wait.askedAt > askMs) {
        wait.askedAt = now
        this.#ports.ask(wait.hold, object)
      }
    }
  }

  /** A reign has ended. */
  end(): void {
    for (const { wake } of this.#waits.values()) for (const then of wake) this.#ports.afterwards(() => then(false))
    this.#waits.clear()
    this.#resting.clear()
  }

  #fence(object: string): void {
    const effects = [endHold(object)]
    if (holdIn(this.#storage.pending, object) !== undefined && !this.#ports.propose(encodeBody(effects))) return
    this.#released(object)
  }

  #released(object: string): void {
    const wait = this.#waits.get(object)
    if (wait === undefined) return
    this.#waits.delete(object)
    this.#resting.set(object, this.#ports.now() + restMs)
    for (const then of wait.wake) this.#ports.afterwards(() => then(true))
  }
}
