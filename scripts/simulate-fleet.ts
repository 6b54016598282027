import { Fleet, type FleetOptions, type FleetReport } from '../test/simulation/fleet.ts'

/**
 * A large cluster in virtual time: as many faults as a week may bring, with its quiet hours left out. Then what the service
 * directory was asked for: per second while nothing happened, and for each of the faults.
 *
 * @returns whether nothing was wrong
 */
export function simulateFleet(options: Omit<FleetOptions, 'quietMs'>): boolean {
  const { hosts, volumes, clients } = options
  const startedAt = performance.now()
  const quiet = new Fleet({ ...options, faults: 0, quietMs: 10_000 }).run()
  const week = new Fleet({ ...options, quietMs: 0 }).run()
  const seconds = (performance.now() - startedAt) / 1000
  process.stdout.write(`${hosts} hosts, ${volumes} volumes, ${clients} clients, seed ${options.seed}\n`)
  for (const [name, report] of Object.entries({ quiet, week })) tell(name, report)
  process.stdout.write(`in ${seconds.toFixed(1)} s\n`)
  return quiet.violation === undefined && week.violation === undefined
}

function tell(name: string, report: FleetReport): void {
  const { violation, faults, operations, losses, virtualMs, healedMs, traffic } = report
  const counts = [...faults].map(([kind, count]) => `${kind} ${count}`).join(', ')
  process.stdout.write(`${name}: ${violation === undefined ? 'all volumes in sync and equal' : `${violation}`}\n`)
  process.stdout.write(
    `  faults: ${counts || 'none'}; ${operations} operations, ${losses} losses with the power of all members; ` +
      `${Math.round(virtualMs / 1000)} s of virtual time, in sync ${Math.round(healedMs)} ms after the last fault\n`,
  )
  const begun = [...faults.values()].reduce((sum, count) => sum + count, 0)
  const { standing, happened, seconds } = traffic
  const one = begun === 0 ? { per: 'second', of: seconds } : { per: 'fault', of: begun }
  const each = Object.entries(happened).map(
    ([what, count]: [string, number]) => `${what} ${(count / one.of).toFixed(1)}`,
  )
  const open = Object.entries(standing).map(([what, count]: [string, number]) => `${what} ${count.toFixed(0)}`)
  process.stdout.write(`  directory: ${open.join(', ')}; per ${one.per}: ${each.join(', ')}\n`)
}
