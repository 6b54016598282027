import type { Test } from '../test/fixtures/cluster.ts'

/**
 * Runs what needs a cluster of its own, as a test would, and takes everything away when it is over, also after an error,
 * which is said as `complain` puts it. @returns whether `run` gave true
 */
export async function withOwnCluster(
  run: (host: Test) => Promise<boolean>,
  complain: (message: string) => string,
): Promise<boolean> {
  const ends: (() => void | Promise<void>)[] = []
  let passing = true
  const host: Test = {
    teardown: (end) => ends.push(end),
    comment: (text) => process.stderr.write(`${text}\n`),
    passing: () => passing,
  }
  try {
    passing = await run(host)
  } catch (error) {
    passing = false
    process.stderr.write(`${complain(error instanceof Error ? error.message : String(error))}\n`)
  } finally {
    for (const end of ends) await end()
  }
  return passing
}
