import type { Profile } from './mixes.ts'
import { core, leases, type Mutation, model } from './mutation.ts'

/** All clients keep what they may, and look at it often; they write less, so that there is something to keep. */
export const cachedClient: Profile['client'] = {
  slots: 2,
  readShare: 0.6,
  flushShare: 0,
  renewShare: 0.01,
  thinkMs: 15,
  forgetful: 1,
  caches: 1,
  freezeMs: 4000,
}
export const cached: Partial<Profile> = { members: 3, minInSync: 1, clients: 4, client: cachedClient }
const cacheCheckers = ['caches', 'linearizability', 'reads']

/** Faults in what clients keep, and in who waits for them. */
export const leaseMutations: readonly Mutation[] = [
  {
    name: 'drop a recall: nobody is asked',
    rule: 'R21',
    edits: [leases('leases.ts', 'else this.#ask(holder, [ino], at)', 'else this.#unlist(holder, ino)')],
    faults: 'calm',
    profile: cached,
    within: 20,
    noticedBy: cacheCheckers,
  },
  {
    name: 'acknowledge before it is recalled',
    rule: 'R21, S8',
    edits: [core('core.ts', 'Math.min(journal.last.seq, ports.host.recalled()) as Seq', 'journal.last.seq')],
    faults: 'calm',
    profile: cached,
    within: 20,
    noticedBy: cacheCheckers,
  },
  {
    name: 'commit when all have it, though not all have recalled it',
    rule: 'R21, S8',
    edits: [core('in-sync-set.ts', 'Math.min(least, member.acked, member.recalled)', 'Math.min(least, member.acked)')],
    faults: 'calm',
    profile: cached,
    within: 20,
    noticedBy: cacheCheckers,
  },
  {
    name: 'lease what a waiting entry touches, or touched while the answer was made',
    rule: 'S3, R23',
    edits: [
      leases('leases.ts', 'inos.filter((ino) => this.#touches.untouchedSince(at, ino))', 'inos.filter(() => at >= 0)'),
    ],
    faults: 'calm',
    profile: cached,
    within: 40,
    noticedBy: cacheCheckers,
  },
  {
    name: 'lease an answer that was long in the making, though a recall has run by: only waiting entries are looked at',
    rule: 'R23',
    edits: [
      leases(
        'leases.ts',
        'this.#touches.untouchedSince(at, ino)',
        'this.#touches.untouchedSince(this.#ports.applied?.() ?? at, ino)',
      ),
      leases(
        'leases.ts',
        '  readonly leasesMax?: number\n',
        '  readonly leasesMax?: number\n  readonly applied?: () => Seq\n',
      ),
      model(
        'lease-service.ts',
        'this.leases = new Leases({ now:',
        'this.leases = new Leases({ applied: () => storage.applied, now:',
      ),
    ],
    faults: 'calm',
    profile: cached,
    within: 60,
    noticedBy: cacheCheckers,
  },
  {
    name: 'lease for longer than the own lease lasts',
    rule: 'R22, S19',
    edits: [
      leases(
        'leases.ts',
        'const left = Math.min(this.#ports.leaseLeft(), timing.mirrorLease)',
        'const left = this.#ports.leaseLeft() > 0 ? timing.mirrorLease * 2 : 0',
      ),
    ],
    faults: 'partitions',
    profile: cached,
    within: 200,
    noticedBy: cacheCheckers,
  },
  {
    name: 'forget the clients of a mirror that died',
    rule: 'R27, S21',
    edits: [core('grants.ts', "answered !== 'all' && host.isKept(to)", "answered !== 'all' && false")],
    faults: 'crashes',
    profile: cached,
    within: 150,
    noticedBy: cacheCheckers,
  },
  {
    name: 'forget the clients of a primary that died',
    rule: 'R27, S21',
    edits: [core('grants.ts', 'for (const to of providers ?? [])', 'for (const to of [] as Self[])')],
    faults: 'crashes',
    profile: cached,
    within: 150,
    noticedBy: cacheCheckers,
  },
  {
    name: 'take it that who led before had counted our promise, though we could not take over then',
    rule: 'R22, R27',
    edits: [core('grants.ts', 'Math.max(how.promisedUntil, how.heirSince + longest)', 'how.promisedUntil')],
    faults: 'partitions',
    profile: cached,
    within: 1000,
    noticedBy: cacheCheckers,
  },
  {
    name: 'lease, and tell nobody where the session is',
    rule: 'S21',
    edits: [
      model(
        'lease-service.ts',
        'stream.holder.entitled ||= this.#isKnownHere(stream)',
        'stream.holder.entitled = true',
      ),
      model(
        'lease-service.ts',
        'place.attach > (before?.attach ?? 0n) &&',
        'place.attach > (before?.attach ?? place.attach) &&',
      ),
    ],
    faults: 'crashes',
    profile: cached,
    within: 150,
    noticedBy: cacheCheckers,
  },
  {
    name: 'a process that starts again owes nothing for the one before',
    rule: 'S20, R27',
    edits: [
      core(
        'grants.ts',
        '    const name = `${to.node} ${to.incarnation}`\n    const known',
        '    const name = to.node\n    const known',
      ),
      core(
        'in-sync-set.ts',
        'if (member === undefined || member.incarnation !== incarnation) return undefined',
        'if (member === undefined) return undefined',
      ),
    ],
    faults: 'crashes',
    profile: cached,
    within: 200,
    noticedBy: cacheCheckers,
  },
  {
    name: 'a client whose stream is gone is taken to have forgotten',
    rule: 'R21',
    edits: [leases('leases.ts', 'if (this.#isOver(holder)) this.#remove(holder)\n  }', 'this.#remove(holder)\n  }')],
    faults: 'calm',
    profile: { ...cached, client: { ...cachedClient, freezeMs: 1500 } },
    within: 200,
    noticedBy: cacheCheckers,
  },
]
