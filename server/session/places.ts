import type { Incarnation, NodeId } from '../../proto/ids.ts'
import type { Self } from '../../replication/ports.ts'

/** Where a session takes its leases: a process, and with which of its hellos it came there. */
export interface Place {
  readonly node: NodeId
  readonly incarnation: Incarnation
  readonly attach: bigint
}

/**
 * Which process each session may have leases of. The journal says it before a session gets its first lease there (S21), so
 * that every member knows whom to wait for after a process has ended. A later hello, heard by whomever, is proof that the
 * session has none any more of the places before.
 */
export class Places<Session> {
  readonly #noted = new Map<Session, Place>()
  readonly #heard = new Map<Session, Place>()
  /** How many sessions were last heard of at a process. */
  readonly #sessions = new Map<string, { readonly provider: Self; count: number }>()

  /** What the journal says, committed or not; undefined: it has no such place. */
  note(session: Session, place: Place | undefined): void {
    const before = this.get(session)
    if (place === undefined) {
      this.#noted.delete(session)
      this.#heard.delete(session)
    } else this.#noted.set(session, place)
    this.#count(before, this.get(session))
  }

  /** A member says that the session is attached to it. */
  hear(session: Session, place: Place): void {
    const before = this.get(session)
    if (before === undefined || place.attach <= before.attach) return
    this.#heard.set(session, place)
    this.#count(before, place)
  }

  /** The latest that is known of it. */
  get(session: Session): Place | undefined {
    const noted = this.#noted.get(session)
    const heard = this.#heard.get(session)
    return noted === undefined || (heard !== undefined && heard.attach > noted.attach) ? heard : noted
  }

  /** Those that the journal has told of. */
  sessions(): Iterable<Session> {
    return this.#noted.keys()
  }

  /** Some session may have leases of that process. */
  has({ node, incarnation }: Self): boolean {
    return this.#sessions.has(`${node} ${incarnation}`)
  }

  *providers(): Generator<Self> {
    for (const { provider } of this.#sessions.values()) yield provider
  }

  /** What the journal says in all, where it was not told entry by entry. */
  reset(noted: Iterable<readonly [Session, Place]>): void {
    this.#noted.clear()
    this.#sessions.clear()
    for (const [session, place] of noted) this.#noted.set(session, place)
    for (const session of this.#heard.keys()) if (!this.#noted.has(session)) this.#heard.delete(session)
    for (const session of this.#noted.keys()) this.#count(undefined, this.get(session))
  }

  #count(before: Place | undefined, after: Place | undefined): void {
    this.#add(after, 1)
    this.#add(before, -1)
  }

  #add(place: Place | undefined, by: number): void {
    if (place === undefined) return
    const { node, incarnation } = place
    const name = `${node} ${incarnation}`
    const known = this.#sessions.get(name) ?? { provider: { node, incarnation }, count: 0 }
    known.count += by
    if (known.count > 0) this.#sessions.set(name, known)
    else this.#sessions.delete(name)
  }
}
