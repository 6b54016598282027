import { busy, core, type Mutation, model } from './mutation.ts'

/** What is said to be on a disk, and is not; and what nobody ever says. */
export const diskMutations: readonly Mutation[] = [
  {
    name: 'acknowledge a payload that only the memory of the process has',
    rule: 'R7',
    edits: [
      model(
        'storage.ts',
        '    const { os, amnesia } = disk\n',
        '    if (disk.os.last.seq > disk.os.applied) disk.os.cut((disk.os.last.seq - 1) as Seq)\n    const { os, amnesia } = disk\n',
      ),
    ],
    faults: 'crashes',
    within: 60,
    noticedBy: ['nesting', 'lost', 'acknowledged', 'log', 'invariants'],
  },
  {
    name: 'answer an fsync before the mirrors have flushed',
    rule: 'R7',
    edits: [core('flushes.ts', 'of this.#set.heirs()', 'of [] as NodeId[]')],
    faults: 'calm',
    within: 20,
    noticedBy: ['flushed'],
  },
  {
    name: 'a flush is asked for once, though who is asked may attach anew, or not have it all yet',
    rule: 'R7, R11',
    edits: [core('flushes.ts', '    this.#askAgain()\n', '')],
    faults: 'lossy',
    profile: {
      ...busy,
      client: { ...busy.client, flushShare: 0.3 },
      network: { ...busy.network, loss: 0.01 },
      storage: { ...busy.storage, flushMs: 30 },
    },
    within: 60,
    noticedBy: ['liveness'],
  },
  {
    name: 'the mark of a resync goes before its slices are on the disk',
    rule: 'S11',
    edits: [
      core(
        'resync-target.ts',
        'this.#core.ports.storage.flush((outcome, upTo) => {',
        ";((done: (outcome: string, upTo: number) => void) => done('flushed', this.#core.journal.committed))((outcome, upTo) => {",
      ),
    ],
    faults: 'resyncs',
    profile: { client: { ...busy.client, flushShare: 0.3 } },
    within: 400,
    noticedBy: ['verify', 'members equal', 'flushed', 'reads', 'linearizability', 'invariants', 'lost'],
  },
  {
    name: 'whoever has seen a flush fail goes on',
    rule: 'S11',
    edits: [core('flushed.ts', "assert(outcome === 'flushed',", 'assert(true,')],
    faults: 'disks',
    within: 60,
    noticedBy: ['invariants'],
  },
]
