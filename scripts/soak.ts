// `npm run soak -- [--minutes N] [--from SEED]`: what `npm test` does in short, for as long as you like, one round after the
// other: ever new seeds of the simulator, a large cluster in simulated time, requests of the kernel with anything in them,
// every kind of change seen from a second mount, then the tests on real mounts. Ends at the first failure, with what
// replays it.
import { spawn } from 'node:child_process'
import { scriptOptions } from './options.ts'

/** Of one round: about five minutes on two cores. */
const seedsEachRound = 5000
const minutesStandard = 60

const { values } = scriptOptions('Use: npm run soak -- [--minutes N] [--from SEED]', {
  minutes: { type: 'string' },
  from: { type: 'string' },
})
const minutes = Number(values.minutes ?? minutesStandard)
/**
 * Tests that have a long form, one by one, each with its own limit of time: mutated requests, as many to the parser as to a whole
 * driver; coherence, which makes every kind of change once in each round; a network that is bad for a minute; and a mirror
 * that was away for 100,000 operations and 1 GiB.
 */
const longTests = [
  'test/fs-driver/protocol/fuzz.test.ts',
  'test/fs-driver/driver/fuzz.test.ts',
  'test/mount/coherence.test.ts',
  'test/lab/partitions.test.ts',
  'test/lab/returning-mirror.test.ts',
]
const longForms = {
  FUZZ_ROUNDS: '1000000',
  BANYAN_ROUNDS: '1000',
  BANYAN_BAD_NETWORK_MS: '60000',
  BANYAN_LONG_ABSENCE: '1',
  TAP_TIMEOUT: '7200',
}

/** Of the present second, so that each soak tries other seeds; printed, so that it can be repeated. */
const first = Number(values.from ?? Math.floor(Date.now() / 1000))

function run(what: string, args: readonly string[], more: Readonly<Record<string, string>> = {}): Promise<boolean> {
  console.log(`== ${what}`)
  const env = { ...more, ...process.env }
  const child = spawn(process.execPath, args, { stdio: 'inherit', env })
  const stop = (signal: NodeJS.Signals): void => void child.kill(signal)
  process.on('SIGINT', stop).on('SIGTERM', stop)
  return new Promise((resolve) => {
    child.on('close', (code) => {
      process.off('SIGINT', stop).off('SIGTERM', stop)
      resolve(code === 0)
    })
  })
}

/** Each file prints its seed. */
async function runLong(): Promise<boolean> {
  for (const test of longTests) if (!(await run(test, ['--import=tsx', test], longForms))) return false
  return true
}

async function main(): Promise<void> {
  if (!(minutes > 0) || !Number.isSafeInteger(first)) {
    console.error('banyan: --minutes and --from are numbers. Nothing was run. See "npm run soak -- --minutes 60".')
    process.exitCode = 2
    return
  }
  const began = performance.now()
  let rounds = 0
  do {
    const from = first + rounds * seedsEachRound
    const simulation = ['build/scripts/simulate.js', '--from', String(from), '--seeds', String(seedsEachRound)]
    const cluster = ['build/scripts/simulate.js', '--from', String(from), '--scale']
    if (!(await run(`seeds ${from} to ${from + seedsEachRound - 1}`, simulation))) process.exitCode = 1
    else if (!(await run(`a large cluster, seed ${from}`, cluster))) process.exitCode = 1
    else if (!(await runLong())) process.exitCode = 1
    else if (!(await run('mounts', ['build/scripts/test.js', 'test/mount']))) process.exitCode = 1
    rounds += 1
  } while (process.exitCode === undefined && performance.now() - began < minutes * 60_000)
  const spent = ((performance.now() - began) / 60_000).toFixed(0)
  console.log(
    `${rounds} rounds in ${spent} minutes, ${process.exitCode === undefined ? 'no failure' : 'ended at a failure'}`,
  )
}

await main()
