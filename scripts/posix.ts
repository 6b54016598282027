/**
 * Runs pjdfstest, the public POSIX suite, on a mount of a cluster of its own, or on any other directory:
 *
 *     npm run posix -- DIR [--only chmod,open/0] [--kill mirror|primary] [--on DIRECTORY]
 *
 * DIR is a built checkout of pjdfstest, which is no part of this repository. Exit code 0: all checks passed.
 */
import { join, resolve } from 'node:path'
import { Cluster, type Test } from '../test/fixtures/cluster.ts'
import { mustRun } from '../test/fixtures/run.ts'
import { scriptOptions } from './options.ts'
import { withOwnCluster } from './own-cluster.ts'
import { Killer } from './posix/killer.ts'
import { runSuiteFile, suiteFiles } from './posix/suite.ts'

const usage = 'Use: npm run posix -- DIR [--only chmod,open/0] [--kill mirror|primary] [--on DIRECTORY]'

const options = { only: { type: 'string' }, kill: { type: 'string' }, on: { type: 'string' } } as const
const { values, positionals } = scriptOptions(usage, options, { positionals: true })

const passed = await withOwnCluster(posix, (message) => `banyan: ${message}`)
process.exitCode = passed ? 0 : 1

async function posix(host: Test): Promise<boolean> {
  const [folder] = positionals
  const { kill, on } = values
  if (folder === undefined || positionals.length > 1) throw new Error(`one folder is wanted. ${usage}`)
  if (kill !== undefined && kill !== 'mirror' && kill !== 'primary') throw new Error(`--kill what? ${usage}`)
  if (kill !== undefined && on !== undefined) throw new Error(`--on has no servers to kill. ${usage}`)
  if (process.getuid?.() !== 0) throw new Error('the suite tries several users, so it must be run as root')
  const files = suiteFiles(resolve(folder), values.only?.split(',') ?? [])
  if (files.length === 0) throw new Error(`no file of the suite begins with ${values.only}`)
  if (on !== undefined) return await runAll(resolve(folder), files, resolve(on))
  const cluster = await Cluster.start(host)
  const place = join(cluster.tree, 'pjdfstest')
  await mustRun('mkdir', [place])
  const killer = kill === undefined ? undefined : new Killer(cluster, kill)
  const passed = await runAll(resolve(folder), files, place)
  if (killer !== undefined) {
    await killer.stop()
    process.stdout.write(`${killer.rounds} times a ${kill} was killed and came back\n`)
  }
  await cluster.verifyEqual()
  return passed
}

/** Says each file with a failure, and the sum. */
async function runAll(folder: string, files: readonly string[], place: string): Promise<boolean> {
  const began = performance.now()
  let [passed, expected, wrong] = [0, 0, 0]
  for (const [index, file] of files.entries()) {
    const result = await runSuiteFile(folder, file, place)
    passed += result.passed
    expected += result.expected
    wrong += result.failures.length
    if (process.stderr.isTTY) process.stderr.write(`\r${index + 1} of ${files.length} files, ${passed} checks passed`)
    for (const failure of result.failures) process.stdout.write(`\n${file}: ${failure.slice(0, 500)}\n`)
  }
  const seconds = ((performance.now() - began) / 1000).toFixed(0)
  const also = expected === 0 ? '' : `, ${expected} failed as the suite expects`
  const where = `${files.length} files, ${seconds} s`
  process.stdout.write(`\npjdfstest: ${passed} passed, ${wrong} failed${also} (${where})\n`)
  return wrong === 0
}
