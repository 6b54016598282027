import { errnos } from '../../proto/errno.ts'
import type { Attributes, Caller, DirectoryEntry } from '../../proto/generated/file-service.ts'
import { count } from '../count.ts'
import { isOfType } from '../file-type.ts'
import { isDot, isName, nameKey, textOf } from '../names.ts'
import type { FileCall, FileResult, Outcome } from '../router/file-client.ts'
import { CachedListing } from './cached-listing.ts'
import { type CachedEntry, Lease } from './lease.ts'
import { touchedBy } from './touched.ts'

/** The leases under which an answer may be kept: only while they are alive, and in time. */
export type Held = ReadonlyMap<bigint, Lease>

export interface Answer {
  readonly outcome: Outcome
  readonly held: Held
}

/** A change of our own that has not been answered. */
export interface Changing {
  readonly dirs: ReadonlySet<bigint>
  readonly names: readonly string[]
  /** All inodes of which it may change attributes: directories, children, victims. */
  readonly inos: ReadonlySet<bigint>
  readonly contents: ReadonlySet<bigint>
}

export interface LeaseCacheLimits {
  readonly leasesMax: number
  /** Attributes, entries, names and the like, all together. */
  readonly weightMax: number
  /** Of one inode: a greater directory is not kept. */
  readonly leaseWeightMax: number
}

export const standardLimits: LeaseCacheLimits = { leasesMax: 65_536, weightMax: 500_000, leaseWeightMax: 50_000 }

const xattrBytesMax = 4096
const opensMax = 16
const nobody: Held = new Map()

/**
 * What the provider's answers said, for as long as the leases stand under which it said so: attributes, entries, their
 * absence, listings, symlinks, extended attributes, and which opens it allowed. Knows no kernel and no clock.
 *
 * What one caller has fetched answers another as well: the kernel has checked that he may search the directory, and may
 * read the extended attribute, by attributes that are leased too (`default_permissions`). Whether somebody may open is
 * the server's to say, so such an answer is kept for the same caller only.
 */
export class LeaseCache {
  readonly #limits: LeaseCacheLimits
  /** The least recently used first. */
  readonly #leases = new Map<bigint, Lease>()
  /** By inode: changes of our own that are not answered. invariant: never 0. */
  readonly #changing = new Map<bigint, number>()
  readonly #changingNames = new Map<string, number>()
  #weight = 0

  constructor(limits: LeaseCacheLimits = standardLimits) {
    this.#limits = limits
  }

  get size(): number {
    return this.#leases.size
  }

  get weight(): number {
    return this.#weight
  }

  lease(ino: bigint): Lease | undefined {
    return this.#leases.get(ino)
  }

  attributes(ino: bigint): Attributes | undefined {
    return this.#leases.get(ino)?.attributes
  }

  /** To which inode the name leads. */
  entry(parent: bigint, name: Uint8Array): CachedEntry | undefined {
    return this.#leases.get(parent)?.entries.get(textOf(name))
  }

  /** Access times are under no lease. @returns what it was; undefined: nothing is known */
  setAtime(ino: bigint, atimeNs: bigint): bigint | undefined {
    const lease = this.#leases.get(ino)
    if (lease?.attributes === undefined) return undefined
    const wasNs = lease.attributes.atimeNs
    lease.attributes = { ...lease.attributes, atimeNs }
    return wasNs
  }

  /** A change of our own touches it, and has not been answered. */
  isChanging(ino: bigint): boolean {
    return this.#changing.has(ino)
  }

  /** The answer, if all of it is known. */
  answer(call: FileCall, caller: Caller): Answer | undefined {
    if (call.$case === 'lookup') return this.#lookup(call.value.parent, call.value.name)
    if (call.$case === 'readdir') return this.#readdir(call.value)
    if (!('ino' in call.value)) return undefined
    const lease = this.#used(call.value.ino)
    return lease && answerFrom(lease, call, caller)
  }

  /**
   * An answer has come, with the inodes leased as of it: keeps what it says, unless a change of our own may have made it
   * old. Called in the order in which answers and recalls come. `change`: what `begin` gave, which ends with this.
   *
   * @returns the leases under which what it says may be told on
   */
  onAnswer(
    call: FileCall,
    outcome: Outcome,
    how: { leased: readonly bigint[]; caller: Caller; change: Changing | undefined },
  ): Held {
    if (how.change !== undefined) this.#end(how.change)
    if (how.leased.length === 0) return nobody
    const held = new Map<bigint, Lease>()
    for (const ino of how.leased) held.set(ino, this.#grant(ino))
    if (outcome.kind === 'errno') this.#keepError(call, outcome.errno, held)
    else this.#keep(call, outcome.result, held, how.caller)
    for (const lease of held.values()) this.#measure(lease)
    return held
  }

  /**
   * Before a change of our own is sent: forgets all that it can change, and keeps nothing of it until it is answered.
   * `children`: known to be changed as well, besides those that are found by their names.
   */
  begin(call: FileCall, children: readonly bigint[] = []): Changing {
    const { contents, inos, names } = touchedBy(call)
    const known = names.map(({ dir, name }) => this.#leases.get(dir)?.entries.get(textOf(name)))
    const dirs = new Set(names.map(({ dir }) => dir))
    const named = known.filter((entry) => entry !== undefined && entry !== 'none')
    const change: Changing = {
      dirs,
      names: names.map(({ dir, name }) => nameKey(dir, name)),
      inos: new Set([...dirs, ...inos, ...named, ...children]),
      contents: new Set(contents),
    }
    for (const { dir, name } of names) this.#leases.get(dir)?.entries.delete(textOf(name))
    for (const ino of change.inos) {
      count(this.#changing, ino, 1)
      const lease = this.#leases.get(ino)
      if (lease === undefined) continue
      lease.forgetOwn()
      this.#measure(lease)
    }
    for (const name of change.names) count(this.#changingNames, name, 1)
    return change
  }

  /** A change that will not be answered: what it does is not known, so nothing is. */
  abandon(change: Changing): void {
    this.#end(change)
    this.drop([...change.inos])
  }

  /** Recalled or given up. @returns those that were there */
  drop(inos: Iterable<bigint>): bigint[] {
    const dropped: bigint[] = []
    for (const ino of inos) {
      const lease = this.#leases.get(ino)
      if (lease === undefined) continue
      lease.alive = false
      this.#leases.delete(ino)
      this.#weight -= lease.weight
      dropped.push(ino)
    }
    return dropped
  }

  dropAll(): bigint[] {
    return this.drop([...this.#leases.keys()])
  }

  /** Leases too many, or too much kept: takes those away that were not used for longest. @returns them */
  evict(): bigint[] {
    const { leasesMax, weightMax } = this.#limits
    const evicted: bigint[] = []
    for (const ino of this.#leases.keys()) {
      if (this.#leases.size <= leasesMax && this.#weight <= weightMax) break
      evicted.push(...this.drop([ino]))
    }
    return evicted
  }

  #used(ino: bigint): Lease | undefined {
    const lease = this.#leases.get(ino)
    if (lease === undefined) return undefined
    this.#leases.delete(ino)
    this.#leases.set(ino, lease)
    return lease
  }

  #grant(ino: bigint): Lease {
    const known = this.#used(ino)
    if (known !== undefined) return known
    const lease = new Lease(ino)
    this.#leases.set(ino, lease)
    this.#weight += lease.weight
    return lease
  }

  #measure(lease: Lease): void {
    if (!lease.alive) return
    let weight = lease.measure()
    if (weight > this.#limits.leaseWeightMax) {
      lease.listing = undefined
      lease.entries.clear()
      weight = lease.measure()
    }
    this.#weight += weight - lease.weight
    lease.weight = weight
  }

  #end({ inos, names }: Changing): void {
    for (const ino of inos) count(this.#changing, ino, -1)
    for (const name of names) count(this.#changingNames, name, -1)
  }

  #lookup(parent: bigint, name: Uint8Array): Answer | undefined {
    const dir = this.#used(parent)
    if (dir === undefined || !isName(name)) return undefined
    const text = textOf(name)
    const known = dir.entries.get(text)
    if (known === undefined) {
      // While a change of our own may make a name, there is no listing.
      return dir.listing?.complete === true ? refused('ENOENT', dir) : undefined
    }
    if (known === 'none') return refused('ENOENT', dir)
    const child = this.#used(known)
    if (child?.attributes === undefined) return undefined
    return answered({ $case: 'entry', value: { attributes: child.attributes } }, dir, child)
  }

  /** Attributes are wanted to save lookups: with too few of them here the server is asked. */
  #readdir(op: { ino: bigint; cookie: bigint; count: number; attributes: boolean }): Answer | undefined {
    const dir = this.#used(op.ino)
    const part = dir?.listing?.after(op.cookie, op.count)
    if (dir?.listing === undefined || part === undefined) return undefined
    const { parent } = dir.listing
    if (!op.attributes)
      return answered({ $case: 'listing', value: { ...part, entries: [...part.entries], parent } }, dir)
    const children = new Map<bigint, Lease>()
    const entries: DirectoryEntry[] = []
    for (const entry of part.entries) {
      const lease = isDot(entry.name) ? undefined : this.#leases.get(entry.ino)
      if (lease?.attributes !== undefined) children.set(entry.ino, lease)
      entries.push({ ...entry, attributes: lease?.attributes })
    }
    if (children.size * 2 < entries.length - 2) return undefined
    return answered({ $case: 'listing', value: { ...part, entries, parent } }, dir, ...children.values())
  }

  #keepError(call: FileCall, errno: number, held: Held): void {
    if (call.$case === 'lookup' && errno === errnos.ENOENT)
      this.#keepEntry(held, call.value.parent, call.value.name, 'none')
    if (call.$case !== 'getxattr' || errno !== errnos.ENODATA || this.isChanging(call.value.ino)) return
    held.get(call.value.ino)?.xattrs.set(textOf(call.value.name), 'none')
  }

  #keep(call: FileCall, result: FileResult, held: Held, caller: Caller): void {
    if (result.$case === 'entry') {
      const { attributes } = result.value
      if (attributes === undefined || !('parent' in call.value) || !('name' in call.value)) return
      this.#keepEntry(held, call.value.parent, call.value.name, attributes.ino)
      return this.#keepAttributes(held, attributes)
    }
    if (result.$case === 'attributes') {
      this.#keepAttributes(held, result.value)
      if (call.$case === 'open') this.#keepOpen(held, call.value, caller)
    }
    if (result.$case === 'listing' && call.$case === 'readdir') this.#keepListing(held, call.value, result.value)
    if (result.$case === 'data' || result.$case === 'names') this.#keepContents(held, call, result, caller)
    if (result.$case === 'done' && (call.$case === 'unlink' || call.$case === 'rmdir')) {
      this.#keepEntry(held, call.value.parent, call.value.name, 'none')
    }
  }

  #keepEntry(held: Held, parent: bigint, name: Uint8Array, entry: CachedEntry): void {
    if (this.#changingNames.has(nameKey(parent, name))) return
    held.get(parent)?.entries.set(textOf(name), entry)
  }

  #keepAttributes(held: Held, attributes: Attributes): void {
    const lease = held.get(attributes.ino)
    if (lease !== undefined && !this.isChanging(attributes.ino)) lease.attributes = attributes
  }

  #keepOpen(held: Held, op: { ino: bigint; flags: number }, caller: Caller): void {
    const lease = held.get(op.ino)
    if (lease === undefined || this.isChanging(op.ino) || (op.flags & openTruncates) !== 0) return
    if (lease.opens.size >= opensMax) lease.opens.clear()
    lease.opens.add(openKey(op, caller))
  }

  #keepListing(
    held: Held,
    op: { ino: bigint; cookie: bigint },
    listing: { entries: readonly DirectoryEntry[]; end: boolean; parent: bigint },
  ): void {
    for (const { attributes, name } of listing.entries) {
      if (attributes !== undefined && !isDot(name)) this.#keepAttributes(held, attributes)
    }
    const dir = held.get(op.ino)
    if (dir === undefined || this.isChanging(op.ino)) return
    for (const { ino, name } of listing.entries) if (!isDot(name)) this.#keepEntry(held, op.ino, name, ino)
    dir.listing ??= new CachedListing(listing.parent)
    if (!dir.listing.add(op.cookie, listing.entries, listing.end)) dir.listing = undefined
  }

  #keepContents(held: Held, call: FileCall, result: FileResult, caller: Caller): void {
    if (!('ino' in call.value) || this.isChanging(call.value.ino)) return
    const lease = held.get(call.value.ino)
    if (lease === undefined) return
    if (result.$case === 'names') lease.xattrNames.set(caller.uid === 0, result.value.names)
    if (result.$case !== 'data') return
    if (call.$case === 'readlink') lease.target = result.value
    if (call.$case === 'getxattr' && result.value.length <= xattrBytesMax) {
      lease.xattrs.set(textOf(call.value.name), result.value)
    }
  }
}

/** What one inode's lease answers by itself. */
function answerFrom(lease: Lease, call: FileCall, caller: Caller): Answer | undefined {
  const { attributes, target } = lease
  if (call.$case === 'getattr') return attributes && answered({ $case: 'attributes', value: attributes }, lease)
  if (call.$case === 'readlink') return target && answered({ $case: 'data', value: target }, lease)
  if (call.$case === 'listxattr') {
    const names = attributes?.bare === true ? [] : lease.xattrNames.get(caller.uid === 0)
    return names && answered({ $case: 'names', value: { names: [...names] } }, lease)
  }
  if (call.$case === 'getxattr') {
    const name = textOf(call.value.name)
    const value = lease.xattrs.get(name) ?? (attributes && isWithout(attributes, name) ? 'none' : undefined)
    if (value === undefined) return undefined
    return value === 'none' ? refused('ENODATA', lease) : answered({ $case: 'data', value }, lease)
  }
  if (call.$case !== 'open' || !lease.opens.has(openKey(call.value, caller))) return undefined
  const isThere = attributes !== undefined && attributes.nlink > 0
  return isThere ? answered({ $case: 'attributes', value: attributes }, lease) : undefined
}

/** Who may read others, and of what, is the server's to say. */
const isWithout = (attributes: Attributes, name: string): boolean =>
  attributes.bare === true &&
  (name.startsWith('security.') || (!isOfType(attributes, 'symlink') && name.startsWith('system.posix_acl_')))

const openTruncates = 0o1000 // O_TRUNC of Linux

/** Which opens are alike: the same caller with the same groups, and the same flags. */
function openKey({ flags }: { flags: number }, { uid, gid, groups }: Caller): string {
  return `${flags}:${uid}:${gid}:${groups.join(',')}`
}

const answered = (result: FileResult, ...leases: readonly Lease[]): Answer => ({
  outcome: { kind: 'result', result },
  held: new Map(leases.map((lease) => [lease.ino, lease])),
})

const refused = (errno: 'ENOENT' | 'ENODATA', lease: Lease): Answer => ({
  outcome: { kind: 'errno', errno: errnos[errno] },
  held: new Map([[lease.ino, lease]]),
})
