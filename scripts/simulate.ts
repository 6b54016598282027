import { mixNames } from '../test/simulation/mixes.ts'
import { mixOf, type Report, replayCommand, Simulation, type SimulationOptions } from '../test/simulation/simulation.ts'
import { scriptOptions } from './options.ts'
import { simulateFleet } from './simulate-fleet.ts'

/**
 * `npm run simulate -- --seeds N --from S [--faults MIX] [--trace]`: runs seeds, and shows what goes wrong.
 * `npm run simulate -- --scale`: many volumes on many hosts instead.
 */
interface Options {
  readonly from: number
  readonly seeds: number
  readonly faults: SimulationOptions['faults'] | undefined
  readonly trace: boolean
  readonly keepGoing: boolean
  readonly scale: Parameters<typeof simulateFleet>[0] | undefined
}

const usage = `Use: npm run simulate -- [--from SEED] [--seeds COUNT] [--faults ${mixNames.join('|')}] [--trace] [--keep-going]
     npm run simulate -- --scale [--from SEED] [--hosts COUNT] [--volumes COUNT] [--clients COUNT] [--incidents COUNT] [--between MS]`

function parse(): Options {
  const { values } = scriptOptions(usage, {
    from: { type: 'string', default: '1' },
    seeds: { type: 'string', default: '100' },
    faults: { type: 'string' },
    trace: { type: 'boolean', default: false },
    'keep-going': { type: 'boolean', default: false },
    scale: { type: 'boolean', default: false },
    hosts: { type: 'string', default: '24' },
    volumes: { type: 'string', default: '50' },
    clients: { type: 'string', default: '200' },
    incidents: { type: 'string', default: '170' },
    between: { type: 'string', default: '3000' },
  })
  const { trace } = values
  const [from, seeds] = [Number(values.from), Number(values.seeds)]
  const [hosts, volumes, clients] = [Number(values.hosts), Number(values.volumes), Number(values.clients)]
  const size = { hosts, volumes, clients, faults: Number(values.incidents), betweenMs: Number(values.between) }
  const areWhole = [from, seeds, ...Object.values(size)].every((count) => Number.isSafeInteger(count) && count > 0)
  const faults = mixNames.find((name) => name === values.faults)
  if (!areWhole || hosts < 3 || (values.faults !== undefined && !faults)) {
    process.stderr.write(`${usage}\n`)
    process.exit(2)
  }
  const scale = values.scale ? { seed: from, ...size } : undefined
  return { from, seeds, faults, trace, keepGoing: values['keep-going'], scale }
}

function main(): void {
  const options = parse()
  if (options.scale !== undefined) {
    if (!simulateFleet(options.scale)) process.exitCode = 1
    return
  }
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
