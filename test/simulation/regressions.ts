import type { MixName } from './mixes.ts'

/** Runs that once showed a mistake of the core. What a seed means changes with the simulation, so each has its story. */
export interface Regression {
  readonly seed: number
  readonly faults: MixName
  readonly story: string
}

export const regressions: readonly Regression[] = [
  {
    seed: 75,
    faults: 'resyncs',
    story: 'a returning member applied entries that it had in common with the primary and that were not committed',
  },
  { seed: 261, faults: 'lossy', story: 'the answer to a flush was lost, and nobody asked that member ever again' },
  {
    seed: 42,
    faults: 'hostCrashes',
    story: 'below minInSync nobody was brought over before the mark was committed, which needed them',
  },
  {
    seed: 935,
    faults: 'everything',
    story: 'a member told to follow from before what it had applied refused, and asked for ever',
  },
  {
    seed: 101202,
    faults: 'resyncs',
    story: 'after a loss of power a member led whose state was just being brought over',
  },
  {
    seed: 101046,
    faults: 'resyncs',
    story: 'a member with half a state was waited for, because it had not lost the end of its journal',
  },
  { seed: 102175, faults: 'stops', story: 'a moment of silence kept a member out of the set for ever' },
  {
    seed: 535,
    faults: 'partitions',
    story: 'a member stayed attached to a reign that was over, when its primary had begun another',
  },
  {
    seed: 98,
    faults: 'ghosts',
    story: 'what a dead process had asked for arrived late and took the place of its successor',
  },
  {
    seed: 392,
    faults: 'ghosts',
    story: 'an answer to the process before was taken for an answer, since both had counted from 1',
  },
  {
    seed: 281,
    faults: 'disks',
    story:
      'a member came back with an empty disk while the leases of its former process were waited for, and was counted as before',
  },
  {
    seed: 134980,
    faults: 'races',
    story:
      'a flush was answered by a primary alone, while others who had not flushed might lead: the set was too small',
  },
  {
    seed: 1502423,
    faults: 'rot',
    story:
      'a block went bad at the primary while all others compared everything: nobody was in sync again, though whole',
  },
]
