import type { Core } from './core.ts'
import type { Member } from './member.ts'
import type { Fetch } from './message.ts'
import type { Slice, WorkItem } from './work.ts'

/** Between two ticks, while clients have changes under way: so much is moved at most, and so many slices (R41). */
const busyBytes = 2 << 20
const busySlices = 64

/** The primary's half of a resync: puts present state into a member's stream, in its place among the entries (S13, R37). */
export class SliceSource {
  readonly #core: Core
  readonly #damaged: (item: WorkItem) => void
  #movedBytes = 0
  #slices = 0

  constructor(core: Core, damaged: (item: WorkItem) => void) {
    this.#core = core
    this.#damaged = damaged
  }

  /** What had to wait for clients goes on: never below the rate the two limits make (R41). */
  onTick(members: Iterable<Member>): void {
    this.#movedBytes = 0
    this.#slices = 0
    for (const member of members) this.serve(member)
  }

  /** One after the other, so that the limits are looked at before each. */
  serve(member: Member): void {
    const { journal, ports } = this.#core
    const { fetch } = member
    const [wanted, ...later] = fetch?.wanted ?? []
    if (fetch === undefined || wanted === undefined || member.mode === 'absent' || member.reading) return
    const busy = journal.last.seq > journal.committed
    if (busy && (this.#movedBytes >= busyBytes || this.#slices >= busySlices)) return
    member.fetch = { ...fetch, ticket: fetch.ticket + 1, wanted: later }
    member.reading = true
    this.#slices += 1
    ports.storage.readSlice(wanted, (slice) => {
      member.reading = false
      this.#give(member, fetch, slice)
      this.serve(member)
    })
  }

  #give(member: Member, { attempt, ticket }: Fetch, slice: Omit<Slice, 'at'>): void {
    const { journal } = this.#core
    if (member.mode === 'absent' || member.attempt !== attempt) return
    if (slice.damaged) return this.#damaged(slice.item)
    this.#movedBytes += slice.movedBytes
    // The slice is what is committed at this moment: the member must be just there when it comes to it.
    member.pump(journal.committed)
    if (member.sent < journal.committed) return
    member.stream({ kind: 'slice', ticket, slice: { ...slice, at: journal.committed } })
  }
}
