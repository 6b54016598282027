/**
 * What people do to a file system, timed on a cluster of its own and on a plain directory of the same disk:
 *
 *     npm run bench -- [--quick] [--runs N] [--only A,B] [--write]
 *
 * `--write` puts the table into docs/benchmarks.md, with the date.
 */
import { spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { cpus, release, totalmem } from 'node:os'
import { join } from 'node:path'
import { Cluster, type Test } from '../test/fixtures/cluster.ts'
import { checkout } from '../test/fixtures/program.ts'
import { benchTable, failures, type Measured, type Results } from './bench/table.ts'
import { scriptOptions } from './options.ts'
import { withOwnCluster } from './own-cluster.ts'

const { values: options } = scriptOptions('Use: npm run bench -- [--quick] [--runs N] [--only A,B] [--write]', {
  quick: { type: 'boolean', default: false },
  runs: { type: 'string' },
  only: { type: 'string' },
  write: { type: 'boolean', default: false },
})

const workloads = join(checkout, 'scripts/bench/workloads.py')
/** A workload's limit with --quick: small sizes end long before, unless the machine is very busy. */
const quickCapSeconds = 30
const page = join(checkout, 'docs/benchmarks.md')

for (const tool of ['python3', 'fio', 'git', 'tar']) {
  if (spawnSync(tool, ['--version'], { stdio: 'ignore' }).status === 0) continue
  process.stderr.write(
    `cannot run the benchmark: ${tool} is missing, so nothing was measured. Install it: apt-get install ${tool}\n`,
  )
  process.exit(1)
}

const passed = await withOwnCluster(bench, (message) => `the benchmark failed: ${message}`)
if (!passed) process.exitCode = 1

/** @returns whether every workload ran as it should */
async function bench(host: Test): Promise<boolean> {
  const runs = Number(options.runs ?? (options.quick ? 1 : 3))
  const cluster = await Cluster.start(host)
  const plainFolder = join(cluster.folder, 'plain')
  mkdirSync(plainFolder)
  const plain: { name: string; runs: Results[] } = { name: 'plain directory', runs: [] }
  const mount: { name: string; runs: Results[] } = { name: 'banyan', runs: [] }
  for (let run = 1; run <= runs; run += 1) {
    process.stderr.write(`run ${run} of ${runs}: plain directory\n`)
    plain.runs.push(await measure(plainFolder))
    process.stderr.write(`run ${run} of ${runs}: banyan, three mirrors\n`)
    mount.runs.push(await measure(cluster.tree))
  }
  await cluster.verifyEqual()
  const places: Measured[] = [plain, mount]
  const faults = failures(places)
  const section = [heading(runs), '', benchTable(places), '', ...faults.map((fault) => `- failed: ${fault}`)].join('\n')
  process.stdout.write(`${section.trimEnd()}\n`)
  if (options.write) writeSection(section.trimEnd())
  return faults.length === 0
}

/** Runs every workload once in `directory`. Caches are made cold by dropping the page cache: a mount keeps nothing else. */
function measure(directory: string): Promise<Results> {
  const args = [workloads, '--dir', directory, ...(options.quick ? ['--quick', '--cap', String(quickCapSeconds)] : [])]
  if (options.only !== undefined) args.push('--only', options.only)
  const child = spawn('python3', args, { stdio: ['ignore', 'pipe', 'inherit'] })
  const out: Buffer[] = []
  child.stdout.on('data', (bytes: Buffer) => out.push(bytes))
  return new Promise((done, fail) => {
    child.on('error', fail)
    child.on('close', () => {
      try {
        done(JSON.parse(Buffer.concat(out).toString()) as Results)
      } catch (cause) {
        fail(new Error('the workloads gave no result', { cause }))
      }
    })
  })
}

function heading(runs: number): string {
  const commit = spawnSync('git', ['-C', checkout, 'rev-parse', '--short', 'HEAD'], { encoding: 'utf8' }).stdout.trim()
  const [cpu] = cpus()
  const date = new Date().toISOString().slice(0, 10)
  const memory = Math.round(totalmem() / 2 ** 30)
  const size = options.quick ? 'quick sizes' : 'full sizes'
  return (
    `## ${date}, ${commit}\n\n${runs} ${runs === 1 ? 'run' : 'runs'}, ${size}; median (least-most); ratio to the plain directory, more is better. ` +
    `Three mirrors, driver and load on one machine: ${cpus().length} × ${cpu?.model ?? '?'}, ${memory} GiB, Linux ${release()}, Node ${process.versions.node}. ` +
    '† stopped at its time limit: the rate is over what it did.'
  )
}

/** The newest section stands first, below the page's introduction. */
function writeSection(section: string): void {
  const text = existsSync(page) ? readFileSync(page, 'utf8') : '# Benchmarks\n'
  const at = text.indexOf('\n## ')
  const [head, rest] = at < 0 ? [text, ''] : [text.slice(0, at + 1), text.slice(at + 1)]
  writeFileSync(page, `${head.trimEnd()}\n\n${section}\n\n${rest}`.trimEnd() + '\n')
  process.stderr.write(`written to ${page}\n`)
}
