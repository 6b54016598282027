import { cached, cachedClient } from './lease-mutations.ts'
import type { Profile } from './mixes.ts'
import { type Mutation, model } from './mutation.ts'

const held: Partial<Profile> = { ...cached, holds: 1 }
const checkers = ['holds', 'linearizability', 'acknowledged']

/** Faults in the rules of holds: who waits for them, who writes under them, and until when. */
export const holdMutations: readonly Mutation[] = [
  {
    name: 'read past what somebody holds back',
    rule: 'S1',
    edits: [model('server.ts', 'hold !== undefined && hold.session !== session', 'hold?.number === 0')],
    faults: 'calm',
    profile: held,
    within: 20,
    noticedBy: checkers,
  },
  {
    name: 'change what somebody else holds',
    rule: 'S1',
    edits: [model('server.ts', 'this.#holds.isHeldByOther(op.object, session)', "op.object === 'none'")],
    faults: 'calm',
    profile: held,
    within: 20,
    noticedBy: checkers,
  },
  {
    name: 'write what was held back, though the hold was taken away',
    rule: 'R25',
    edits: [model('server.ts', '!this.#holds.stands(op.object, { session, number: under })', 'under === 0')],
    faults: 'calm',
    profile: held,
    within: 60,
    noticedBy: checkers,
  },
  {
    name: 'make a name in a directory whose names are not known',
    rule: 'S2',
    edits: [
      model(
        'write-back.ts',
        'pile?.names ?? this.#world.cache.get(op.object)?.result',
        "pile?.names ?? this.#world.cache.get(op.object)?.result ?? ''",
      ),
    ],
    faults: 'calm',
    profile: held,
    within: 40,
    noticedBy: checkers,
  },
  {
    name: 'take a hold away before the leases of who has it can have ended',
    rule: 'S2',
    edits: [model('hold-service.ts', 'export const fenceMs = 5000', 'export const fenceMs = 100')],
    faults: 'partitions',
    profile: held,
    within: 60,
    noticedBy: checkers,
  },
  {
    name: 'hold back whether or not there are leases',
    rule: 'S2',
    edits: [model('write-back.ts', 'held.term === cache.term && cache.isLeased', 'cache.term > 0')],
    faults: 'calm',
    profile: { ...held, client: { ...cachedClient, freezeMs: 1500 } },
    within: 200,
    noticedBy: checkers,
  },
  {
    name: 'go on with a hold from before the leases were lost',
    rule: 'S2',
    edits: [model('write-back.ts', 'held.term === cache.term && cache.isLeased', 'cache.isLeased')],
    faults: 'calm',
    profile: { ...held, client: { ...cachedClient, freezeMs: 1500 } },
    within: 300,
    noticedBy: checkers,
  },
  {
    name: 'give a hold back before what was held back is written',
    rule: 'S1, R26',
    edits: [
      model(
        'write-back.ts',
        'this.#resting.set(object, this.#world.now() + restMs)\n    this.before(object, () => {',
        'this.#resting.set(object, this.#world.now() + restMs)\n    this.before(`${object}!`, () => {',
      ),
    ],
    faults: 'calm',
    profile: held,
    within: 20,
    noticedBy: checkers,
  },
  {
    name: 'a hold is not written down: the next primary knows of none',
    rule: 'S1',
    edits: [model('server.ts', '[putHold(op.object, { session, number: take })]', '[]')],
    faults: 'calm',
    profile: held,
    within: 20,
    noticedBy: checkers,
  },
]
