import type { Seq } from '../proto/ids.ts'
import type { Core } from './core.ts'
import { giverWaits } from './lease.ts'
import type { Ms, Self } from './ports.ts'

/**
 * How long clients may keep what a member leased to them. While it is in the set it asks them itself, and says so. What
 * it can't say any more, since it has left the set or its process is another, is waited for here: until the time is over
 * or every client that used it has come to another provider, before which a client forgets everything (R27, S21). A death
 * ends the leases of the dead, but not those of its clients.
 */
export class Grants {
  readonly #core: Core
  readonly #given = new Map<string, { readonly to: Self; until: Ms }>()
  #everybodyUntil: Ms = Number.NEGATIVE_INFINITY

  constructor(core: Core) {
    this.#core = core
  }

  /**
   * A reign begins. What those before granted is not known here, but for how long: no longer than a mirror's lease; and
   * since we could take over ourselves, no longer than we had promised not to (R22).
   */
  begin(how: { readonly recovered: boolean; readonly heirSince: Ms; readonly promisedUntil: Ms }): void {
    const { ports, self, timing } = this.#core
    const longest = giverWaits(timing.mirrorLease, timing)
    const until = Math.min(ports.clock.now() + longest, Math.max(how.promisedUntil, how.heirSince + longest))
    const providers = ports.host.providers()
    for (const to of providers ?? []) if (to.incarnation !== self.incarnation) this.give(to, until)
    // Where the end of every journal is lost, it may have said who had clients.
    if (how.recovered || providers === undefined) this.#everybodyUntil = until
  }

  /** `to` may answer reads until then, and no client of it keeps anything for longer (R22). */
  give(to: Self, until: Ms): void {
    const name = `${to.node} ${to.incarnation}`
    const known = this.#given.get(name)
    if (known === undefined) this.#given.set(name, { to, until })
    else known.until = Math.max(known.until, until)
  }

  /** The last entry that may commit. `answersFor`: how far a process has recalled; undefined: it says nothing. */
  limit(answersFor: (who: Self) => Seq | 'all' | undefined): number {
    const { clock, host } = this.#core.ports
    const now = clock.now()
    if (now < this.#everybodyUntil) return 0
    let limit = Number.POSITIVE_INFINITY
    for (const [name, { to, until }] of this.#given) {
      if (until <= now) {
        this.#given.delete(name)
        continue
      }
      const answered = answersFor(to)
      if (answered !== 'all' && host.isKept(to)) limit = Math.min(limit, answered ?? 0)
    }
    return limit
  }
}
