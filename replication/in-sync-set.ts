import type { NodeId, Seq } from '../proto/ids.ts'
import { type Core, recalledBy } from './core.ts'
import { Grants } from './grants.ts'
import type { Member } from './member.ts'
import type { Ms, Self } from './ports.ts'
import type { VolumeRecord } from './record.ts'
import { grown, handedOver, renamed, settled, shrunk } from './record-changes.ts'
import type { WorkItem } from './work.ts'

/** Who is in the set, who leaves it when, who comes in: the primary's half. The record decides (R9). */
export class InSyncSet {
  readonly #core: Core
  readonly #members: ReadonlyMap<NodeId, Member>
  /** Out of the record, but perhaps still answering reads until then: nothing commits without them before (R4). */
  readonly #lingering = new Map<NodeId, Ms>()
  /** What is to be brought over when a member attaches next, besides what it misses. */
  readonly #extra = new Map<NodeId, readonly WorkItem[]>()
  readonly grants: Grants
  #inSync: readonly NodeId[]
  /** Somebody was told that everything up to here is on every disk of the set: a newcomer's disk must have it too (S11). */
  #flushedTo = 0 as Seq
  /** Everything before may have been committed by an earlier reign, whatever we know of it (R6). */
  #mark = 0 as Seq

  constructor(core: Core, members: ReadonlyMap<NodeId, Member>) {
    this.#core = core
    this.#members = members
    this.grants = new Grants(core)
    this.#inSync = core.record()?.record.inSync ?? []
  }

  #record(): VolumeRecord | undefined {
    return this.#core.record()?.record
  }

  /** What earlier reigns have committed, and told somebody to be on every disk, is at most what stands before our mark. */
  reignBegins(mark: Seq): void {
    this.#mark = mark
    this.wasFlushed(mark)
  }

  wasFlushed(upTo: Seq): void {
    this.#flushedTo = Math.max(this.#flushedTo, upTo) as Seq
  }

  /** The member's disk has everything that somebody was told is on every disk. */
  isOnDisk(member: Member): boolean {
    return member.durable >= this.#flushedTo
  }

  /** The set without ourselves. */
  mirrors(): readonly NodeId[] {
    return this.#inSync.filter((node) => node !== this.#core.self.node)
  }

  /** Whoever the record lets take over (R11): as it is, or as it may be already when a swap is not settled. */
  heirs(): ReadonlySet<NodeId> {
    const heirs = new Set<NodeId>()
    for (const record of [this.#record(), this.#core.swapper.pending]) {
      for (const node of [...(record?.inSync ?? []), ...(record?.eligible ?? [])]) heirs.add(node)
    }
    heirs.delete(this.#core.self.node)
    return heirs
  }

  /** In the set, as the process that the record names. */
  holds(member: Member): boolean {
    return this.#inSync.includes(member.node) && this.#record()?.incarnations[member.node] === member.incarnation
  }

  /** In the set, or perhaps in it as soon as a swap is settled. */
  counts(node: NodeId): boolean {
    return this.#inSync.includes(node) || (this.#core.swapper.pending?.inSync.includes(node) ?? false)
  }

  /** Everybody without whom nothing commits: the set; who is asked to come in (R10); who has just left it (R4). */
  *required(): Generator<Member> {
    for (const member of this.#members.values()) {
      if (this.counts(member.node) || this.lingers(member.node)) yield member
    }
  }

  /** The last entry that everybody required has acknowledged, and that no client keeps anything of what it changes of. */
  committable(): Seq {
    const record = this.#record()
    if (record === undefined || this.#inSync.length < record.minInSync || record.eligible.length > 0) return 0 as Seq
    let least = Math.min(
      recalledBy(this.#core),
      this.grants.limit((who) => this.#answersFor(who)),
    )
    for (const member of this.required()) least = Math.min(least, member.acked, member.recalled)
    return least as Seq
  }

  onRecord(record: VolumeRecord): void {
    const now = this.#core.ports.clock.now()
    for (const node of this.#inSync) {
      const member = this.#members.get(node)
      if (member === undefined || record.inSync.includes(node)) continue
      if (member.grantedUntil > now) this.#lingering.set(node, member.grantedUntil)
      this.#core.ports.log('mirror.dropped', { node, epoch: record.epoch, why: member.leaving })
      member.detach()
    }
    for (const node of record.inSync) this.#lingering.delete(node)
    this.#inSync = record.inSync
  }

  /** It has let go of its lease: it is a new process, or has begun a new attachment. */
  released(member: Member): void {
    this.#lingering.delete(member.node)
    member.grantedUntil = 0
  }

  /** How far that process has said what its clients keep; undefined: nothing, or nothing that counts. */
  #answersFor({ node, incarnation }: Self): Seq | 'all' | undefined {
    const member = this.#members.get(node)
    if (member === undefined || member.incarnation !== incarnation) return undefined
    return this.counts(node) ? 'all' : member.recalled
  }

  leave(member: Member, reason: string): void {
    member.leaving = reason
    member.detach()
    this.onTick()
  }

  bringOver(node: NodeId, work: readonly WorkItem[]): void {
    const member = this.#members.get(node)
    if (member === undefined) return
    this.#extra.set(node, [...(this.#extra.get(node) ?? []), ...work])
    this.leave(member, 'it is to be mended')
  }

  extra(node: NodeId): readonly WorkItem[] {
    return this.#extra.get(node) ?? []
  }

  broughtOver(node: NodeId): void {
    this.#extra.delete(node)
  }

  onTick(): void {
    const versioned = this.#core.record()
    if (versioned === undefined || this.#core.swapper.pending !== undefined) return
    const leaving = this.mirrors().filter((node) => this.#mustLeave(node))
    if (leaving.length > 0) {
      this.#core.swapper.start(versioned, shrunk(versioned.record, leaving))
      return
    }
    const { eligible, inSync, minInSync } = versioned.record
    if (eligible.length > 0 && inSync.length >= minInSync) {
      this.#core.swapper.start(versioned, settled(versioned.record))
      return
    }
    for (const node of this.mirrors()) {
      const member = this.#members.get(node)
      if (member?.incarnation === undefined || member.mode !== 'following' || this.holds(member)) continue
      this.#core.swapper.start(versioned, renamed(versioned.record, node, member.incarnation))
      return
    }
  }

  /** A member that has everything is counted from the moment it is asked in (R10). */
  grow(): void {
    const versioned = this.#core.record()
    if (versioned === undefined || this.#core.swapper.pending !== undefined) return
    for (const member of this.#members.values()) {
      if (this.#inSync.includes(member.node) || member.incarnation === undefined || !this.#isReady(member)) continue
      if (!versioned.record.members.includes(member.node)) continue
      if (!this.isOnDisk(member)) {
        // Others have flushed since it caught up: so must it, though nobody may ever ask for a flush again.
        if (member.flushing === 'no') member.askFlush(0)
        continue
      }
      this.#core.swapper.start(versioned, grown(versioned.record, member.node, member.incarnation))
      return
    }
  }

  handOver(to: NodeId): void {
    const versioned = this.#core.record()
    if (versioned !== undefined) this.#core.swapper.start(versioned, handedOver(versioned.record, to))
  }

  #isReady(member: Member): boolean {
    if (member.mode === 'absent' || !member.caughtUp) return false
    // Not in the set, it is not told to leave: what keeps it out now may be over soon.
    if (member.leaving !== undefined || this.#reasonToLeave(member) !== undefined) return false
    return member.acked >= Math.max(this.#core.journal.committed, this.#mark)
  }

  /** It has left the set, and nothing commits without it before its time is over (R4). */
  lingers(node: NodeId): boolean {
    const until = this.#lingering.get(node)
    if (until === undefined) return false
    const dead = this.#core.deaths.has(node, this.#record()?.incarnations[node])
    if (!dead && this.#core.ports.clock.now() < until) return true
    this.#lingering.delete(node)
    return false
  }

  #mustLeave(node: NodeId): boolean {
    const member = this.#members.get(node)
    if (member === undefined) return true
    member.leaving ??= this.#reasonToLeave(member)
    return member.leaving !== undefined
  }

  #reasonToLeave(member: Member): string | undefined {
    const { clock } = this.#core.ports
    const { silence, progress } = this.#core.timing
    const { node } = member
    if (this.#core.deaths.has(node, member.incarnation ?? this.#record()?.incarnations[node]))
      return 'its process ended'
    if (member.mode === 'resyncing' && this.#inSync.includes(node)) return 'it fetches what it missed'
    if (clock.now() - member.lastHeard > silence) return 'it is silent'
    if (this.#isSpared(member)) return 'it was taken out'
    if (this.#stalled(member) && clock.now() - member.ackedAt > progress) return 'it does not get on'
    return undefined
  }

  /** An operator took it out, nobody reads there any more, and the others are enough. */
  #isSpared(member: Member): boolean {
    const record = this.#record()
    if (record === undefined || record.members.includes(member.node)) return false
    if (!this.#inSync.includes(member.node) || this.#core.ports.clock.now() < member.grantedUntil) return false
    const stay = this.#inSync.filter((node) => record.members.includes(node))
    return stay.includes(this.#core.self.node) && stay.length >= record.minInSync
  }

  #stalled(member: Member): boolean {
    return member.mode === 'absent' || member.acked < this.#core.journal.last.seq
  }
}
