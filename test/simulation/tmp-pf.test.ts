import t from 'tap'
import { plant } from './mutant.ts'
import { mutations } from './mutations.ts'
import { runSeeds, type SeedResult } from './seeds.ts'

const processes = 1
/** For one fault; most are seen in the first seeds. */
const timeoutMs = 900_000

t.setTimeout(mutations.length * timeoutMs)

for (const mutation of mutations.filter(({name}) => name.includes('had counted our promise')).map((m) => ({ ...m, within: 4000 }))) {
  const { name, rule, faults, profile, within, noticedBy } = mutation
  void t.test(`${rule} is broken, and seen to be: ${name}`, async (t) => {
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
      processes,
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
