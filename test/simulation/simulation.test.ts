import t from 'tap'
import { type MixName, mixNames } from './mixes.ts'
import { regressions } from './regressions.ts'
import { runSeeds, type SeedResult } from './seeds.ts'
import { replayCommand, Simulation } from './simulation.ts'

/** So many seeds, a whole number for each kind of weather, in so many processes. */
const seedsPerMix = 170
const processes = 2

/** What must have happened somewhere in all these runs, or they prove little. */
const eventsWanted = [
  'reign.established',
  'reign.ends',
  'reign.hands-over',
  'reign.makes-way',
  'mirror.forgotten',
  'mirror.dropped',
  'member.resyncs',
  'resync.begins',
  'resync.done',
  'reattaches',
  'leaves',
  'disk.wiped',
  'fault.clockStep',
]

t.setTimeout(900_000)

void t.test('whatever happens to its members, a volume keeps its promises', async (t) => {
  t.setTimeout(900_000)
  const failed: SeedResult[] = []
  const events = new Set<string>()
  const runs = new Map<MixName, number>()
  let losses = 0
  let cachedReads = 0
  let heldBack = 0
  let fences = 0
  await runSeeds({
    from: 1,
    count: seedsPerMix * mixNames.length,
    processes,
    onResult(result) {
      runs.set(result.mix, (runs.get(result.mix) ?? 0) + 1)
      losses += result.losses
      cachedReads += result.cachedReads
      heldBack += result.heldBack
      fences += result.fences
      for (const event of result.events.keys()) events.add(event)
      if (result.violation !== undefined) failed.push(result)
    },
  })
  for (const mix of mixNames) {
    const wrong = failed.filter((result) => result.mix === mix)
    const said = wrong.slice(0, 3).map(({ violation, replay }) => `${violation?.what}\nreplay: ${replay}`)
    t.equal(wrong.length, 0, `${mix}: ${runs.get(mix)} seeds\n${said.join('\n')}`)
    t.equal(runs.get(mix), seedsPerMix, `${mix}: all seeds were run`)
  }
  for (const event of eventsWanted) t.ok(events.has(event), `it happened: ${event}`)
  t.ok(cachedReads > 50_000, `clients answered ${cachedReads} reads by themselves`)
  t.ok(heldBack > 10_000, `clients answered ${heldBack} writes by themselves`)
  t.ok(fences > 50, `${fences} holds were taken away`)
  t.ok(losses > 0, `all hosts lost power, and something with it, ${losses} times`)
})

void t.test('what once went wrong goes right', async (t) => {
  for (const { story, ...options } of regressions) {
    // They were found before there were holds, with which a seed means something else.
    for (const holds of [0, 1]) {
      const { violation } = new Simulation({ ...options, profile: { holds } }).run()
      t.equal(violation, undefined, `${story}: ${replayCommand(options)}, holds ${holds}`)
    }
  }
})

void t.test('one seed, run twice, is the same run', async (t) => {
  for (const seed of mixNames.keys()) {
    const runs = [1, 2].map(() => new Simulation({ seed, trace: 'hash' }).run())
    t.equal(runs[0]?.traceHash, runs[1]?.traceHash, replayCommand({ seed }))
    t.equal(runs[0]?.virtualMs, runs[1]?.virtualMs)
  }
  const [one, other] = [20, 33].map((seed) => new Simulation({ seed, trace: 'hash' }).run())
  t.not(one?.traceHash, other?.traceHash, 'and another seed is another')
})
