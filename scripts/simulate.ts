import { mixNames } from '../test/simulation/mixes.ts'
import { mixOf, type Report, replayCommand, Simulation, type SimulationOptions } from '../test/simulation/simulation.ts'
import { scriptOptions } from './options.ts'

/** `npm run simulate -- --seeds N --from S [--faults MIX] [--trace]`: runs seeds, and shows what goes wrong. */
interface Options {
  readonly from: number
  readonly seeds: number
  readonly faults: SimulationOptions['faults'] | undefined
  readonly trace: boolean
  readonly keepGoing: boolean
}

const usage = `Use: npm run simulate -- [--from SEED] [--seeds COUNT] [--faults ${mixNames.join('|')}] [--trace] [--keep-going]`

function parse(): Options {
  const { values } = scriptOptions(usage, {
    from: { type: 'string', default: '1' },
    seeds: { type: 'string', default: '100' },
    faults: { type: 'string' },
    trace: { type: 'boolean', default: false },
    'keep-going': { type: 'boolean', default: false },
  })
  const { trace } = values
  const [from, seeds] = [Number(values.from), Number(values.seeds)]
  const faults = mixNames.find((name) => name === values.faults)
  if (!Number.isSafeInteger(from) || !Number.isSafeInteger(seeds) || (values.faults !== undefined && !faults)) {
    process.stderr.write(`${usage}\n`)
    process.exit(2)
  }
  return { from, seeds, faults, trace, keepGoing: values['keep-going'] }
}

function main(): void {
  const options = parse()
  const { faults } = options
  let failed = 0
  let virtualMs = 0
  let slowest = 0
  let [heldBack, fences] = [0, 0]
  const events = new Map<string, number>()
  const startedAt = performance.now()
  for (let seed = options.from; seed < options.from + options.seeds; seed++) {
    const how = { seed, ...(faults === undefined ? {} : { faults }) }
    const report = new Simulation({ ...how, trace: options.trace ? 'lines' : 'off' }).run()
    virtualMs += report.virtualMs
    heldBack += report.heldBack
    fences += report.fences
    slowest = Math.max(slowest, report.healedMs)
    for (const [event, count] of report.events) events.set(event, (events.get(event) ?? 0) + count)
    if (options.trace) process.stdout.write(`${report.trace.join('\n')}\n`)
    if (report.violation === undefined) continue
    failed += 1
    tellFailure(report, how)
    if (!options.keepGoing) break
  }
  const seconds = (performance.now() - startedAt) / 1000
  process.stdout.write(`${[...events].map(([event, count]) => `${event} ${count}`).join(', ')}\n`)
  process.stdout.write(
    `${options.seeds} seeds, ${failed} failed; ${Math.round(virtualMs / 1000)} s of virtual time in ${seconds.toFixed(1)} s; ` +
      `slowest recovery ${Math.round(slowest)} ms; ${heldBack} writes held back, ${fences} holds taken away\n`,
  )
  if (failed > 0) process.exitCode = 1
}

function tellFailure(report: Report, how: SimulationOptions): void {
  process.stdout.write(
    `seed ${report.seed} (${how.faults ?? mixOf(report.seed)}), after ${report.virtualMs.toFixed(1)} ms: ${report.violation}\n`,
  )
  process.stdout.write(`  replay: ${replayCommand(how)}\n`)
}

main()
