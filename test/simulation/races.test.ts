import t, { type Test } from 'tap'
import { mixes } from './mixes.ts'
import { runSeeds, type SeedResult } from './seeds.ts'

const count = 5000
const processes = 2

/** Each so often at least in all these runs together, or they prove little. */
const happenings = {
  'directory.race': 5000,
  'directory.late': 10_000,
  'lease.ended-while-stopped': 250,
  'operator.added': 2000,
  'operator.removed': 2000,
  'operator.drained': 2500,
  'operator.min-in-sync': 2000,
  'reign.hands-over': 2000,
  'reign.makes-way': 1000,
  'reign.ends': 1500,
  'mirror.forgotten': 500,
}

t.setTimeout(600_000)

void t.test(
  'whoever races for the record, and whatever is heard of it when, a volume keeps its promises',
  async (t) => {
    const failed: SeedResult[] = []
    const events = new Map<string, number>()
    let runs = 0
    await runSeeds({
      from: 1,
      count,
      faults: 'races',
      processes,
      onResult(result) {
        runs += 1
        for (const [event, times] of result.events) events.set(event, (events.get(event) ?? 0) + times)
        if (result.violation !== undefined) failed.push(result)
      },
    })
    const said = failed.slice(0, 3).map(({ violation, replay }) => `${violation?.what}\nreplay: ${replay}`)
    t.equal(failed.length, 0, said.join('\n'))
    t.equal(runs, count, 'all seeds were run')
    for (const [event, least] of Object.entries(happenings)) atLeast(t, events, event, least)
    for (const kind of Object.keys(mixes.races.faults)) atLeast(t, events, `fault.${kind}`, count / 4)
  },
)

function atLeast(t: Test, events: ReadonlyMap<string, number>, event: string, least: number): void {
  const times = events.get(event) ?? 0
  t.ok(times >= least, `${event}: ${times} times, at least ${least} wanted`)
}
