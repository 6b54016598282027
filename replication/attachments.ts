import type { Seq } from '../proto/ids.ts'
import { type Core, send } from './core.ts'
import type { Mark } from './entry.ts'
import { commonPoint } from './history.ts'
import type { InSyncSet } from './in-sync-set.ts'
import type { Collecting, Member } from './member.ts'
import type { Attach, Envelope } from './message.ts'
import type { Primary } from './primary.ts'
import { everything, type Touched, workFor } from './work.ts'

/**
 * Decides what a member that asks for the stream gets: the entries after the last one we have in common, where they are
 * still there; else the present state of everything that either side has touched since (R34, R35). No answer means: not
 * yet; it asks again.
 */
export function answerAttach(
  core: Core,
  reign: Primary,
  set: InSyncSet,
  member: Member,
  attach: Attach & Envelope,
): void {
  const isNew = attach.attempt > member.attempt
  if (!isNew && !mayBeginAnew(core, member, attach)) return // a copy, overtaken, or from a process of before
  if (member.incarnation !== attach.incarnation) member.heardSentAt = 0
  member.incarnation = attach.incarnation
  member.attempt = attach.attempt
  member.lastHeard = core.ports.clock.now()
  if (member.collecting !== undefined && isSame(member.collecting.attach, attach)) {
    member.collecting.attach = attach // to begin anew each time would be to begin for ever
    return
  }
  member.detach()
  if (isNew) set.released(member) // it let go of its lease before it asked, and a new process never had it

  const common = commonPoint(
    { starts: core.journal.history, last: core.journal.last },
    { starts: attach.history, last: attach.last },
  )
  const same = common >= attach.base.seq && sameHistory(core, attach, common)
  // What it has applied and we do not have was lost with the power of a whole set (R12): it is to be undone (R35).
  const applies = common >= attach.applied
  const lost = attach.amnesia && !(isBlank(attach) && lacksNothing(core, set, member))
  const whole = same && applies && !lost && !attach.everything && set.extra(member.node).length === 0
  if (whole && canRead(core, common)) return follow(core, member, attach, common)
  if (set.counts(member.node)) return set.leave(member, attach.amnesia ? 'its host went down' : 'its journal differs')

  const since = (attach.amnesia ? Math.min(common, attach.durable) : common) as Seq
  if (attach.everything || !same || isTorn(attach, reign)) return resync(core, set, member, attach, since, allOfIt)
  const collecting: Collecting = { from: core.journal.committed, attach }
  member.collecting = collecting
  core.ports.storage.touchedSince(since, (touched) => {
    if (member.collecting !== collecting || set.counts(member.node)) return
    resync(core, set, member, collecting.attach, since, touched)
  })
}

/** The same process asks again, and nothing has changed there. */
function isSame(before: Attach & Envelope, again: Attach & Envelope): boolean {
  const isAt = (one: Mark, other: Mark): boolean => one.seq === other.seq && one.chain === other.chain
  return (
    isAt(before.last, again.last) &&
    isAt(before.base, again.base) &&
    before.incarnation === again.incarnation &&
    before.durable === again.durable &&
    before.amnesia === again.amnesia &&
    before.resyncing === again.resyncing &&
    before.everything === again.everything
  )
}

/** A member whose store was lost counts from the beginning again: believed when its former process is heard no more. */
function mayBeginAnew(core: Core, member: Member, attach: Attach & Envelope): boolean {
  const silentMs = core.ports.clock.now() - member.lastHeard
  return member.incarnation !== attach.incarnation && silentMs > core.timing.silence
}

const isBlank = (attach: Attach): boolean => attach.last.seq === 0 && !attach.resyncing

/** Of an empty store: nothing was committed, or it is in no set that somebody counts on. */
const lacksNothing = (core: Core, set: InSyncSet, member: Member): boolean =>
  core.journal.committed === 0 || !set.counts(member.node)

const allOfIt: Touched = { everything: true, keys: [], ranges: [] }

/** After a loss of power, what is on the member's disk may be in no journal at all. */
function isTorn(attach: Attach, reign: Primary): boolean {
  return attach.amnesia && (attach.resyncing || reign.recovered || attach.applied > attach.last.seq)
}

/** R39: one label, one digest. Looked at where the member's journal ends or begins, if the common point is there. */
function sameHistory(core: Core, attach: Attach, common: Seq): boolean {
  const theirs: Mark | undefined = [attach.last, attach.base].find((mark) => mark.seq === common)
  const ours = core.ports.storage.markAt(common)
  return theirs === undefined || ours === undefined || (theirs.chain === ours.chain && theirs.epoch === ours.epoch)
}

function canRead(core: Core, common: Seq): boolean {
  return common === core.journal.last.seq || core.ports.storage.read((common + 1) as Seq, 1) !== undefined
}

function follow(core: Core, member: Member, attach: Attach, from: Seq): void {
  const { base, history } = core.journal
  member.begin(attach.attempt, attach.resyncing ? 'resyncing' : 'following', from)
  core.ports.log('member.follows', { node: member.node, from, resyncing: attach.resyncing })
  send(core, member.node, { kind: 'attached', attempt: attach.attempt, mode: 'follow', from, base, history, work: [] })
  member.pump()
}

/** The stream begins after what was committed when `touched` was asked for: what came later may be in both. */
function resync(core: Core, set: InSyncSet, member: Member, attach: Attach, since: Seq, touched: Touched): void {
  const base = core.ports.storage.markAt(member.collecting?.from ?? core.journal.committed)
  member.collecting = undefined
  if (base === undefined || !canRead(core, base.seq)) return
  const work = touched.everything ? everything : [...workFor(touched), ...set.extra(member.node)]
  set.broughtOver(member.node)
  member.begin(attach.attempt, 'resyncing', base.seq)
  core.ports.log('member.resyncs', {
    node: member.node,
    since,
    base: base.seq,
    items: work.length,
    everything: touched.everything,
  })
  const history = core.journal.history.filter((start) => start.first <= base.seq)
  send(core, member.node, {
    kind: 'attached',
    attempt: attach.attempt,
    mode: 'resync',
    from: since,
    base,
    history,
    work,
  })
  member.pump()
}
