import type { SeedResult, SeedTask } from './seeds.ts'
import { replayCommand, Simulation } from './simulation.ts'

/** A process of its own: is sent a task, runs its seeds, and says of each how it went. */
process.once('message', (task: SeedTask) => void run(task))

async function run(task: SeedTask): Promise<void> {
  const { from, step, end, faults, profile, untilViolation } = task
  for (let seed = from; seed < end; seed += step) {
    const options = { seed, ...(faults === undefined ? {} : { faults }), ...(profile === undefined ? {} : { profile }) }
    const { mix, violation, events, healedMs, losses, cachedReads, heldBack, fences } = new Simulation(options).run()
    const result: SeedResult = {
      seed,
      mix,
      events,
      healedMs,
      losses,
      cachedReads,
      heldBack,
      fences,
      violation: violation && { checker: violation.checker, rule: violation.rule, what: String(violation) },
      replay: replayCommand(options),
    }
    await new Promise((sent) => process.send?.(result, sent))
    if (untilViolation && violation !== undefined) break
  }
  process.disconnect()
}
