import t from 'tap'
import { plant } from './mutant.ts'
import { mutations } from './mutations.ts'
import { runSeeds, type SeedResult } from './seeds.ts'

/** Faults looked for at the same time: most are seen in the first seeds, where a second process for one would help little. */
const jobs = 2
/** For one fault. */
const timeoutMs = 240_000

t.jobs = jobs
t.setTimeout(mutations.length * timeoutMs)

for (const mutation of mutations) {
  const { name, rule, faults, profile, within, noticedBy } = mutation
  void t.test(`${rule} is broken, and seen to be: ${name}`, { buffered: true }, async (t) => {
    t.setTimeout(timeoutMs)
    const mutant = await plant(mutation)
    t.teardown(() => mutant.remove())
    let seen: SeedResult | undefined
    let runs = 0
    await runSeeds({
      from: 1,
      count: within,
      faults,
      ...(profile === undefined ? {} : { profile }),
      processes: 1,
      untilViolation: true,
      runner: mutant.runner,
      onResult(result) {
        runs += 1
        if (result.violation !== undefined) seen = result
      },
    })
    t.ok(seen, `noticed within ${within} seeds of '${faults}': after ${runs}`)
    if (seen?.violation !== undefined)
      t.ok(noticedBy.includes(seen.violation.checker), seen.violation.what.slice(0, 300))
  })
}
