import { join } from 'node:path'
import t from 'tap'
import { z } from 'zod'
import { Cluster } from '../fixtures/cluster.ts'
import { checkout } from '../fixtures/program.ts'
import { mustRun } from '../fixtures/run.ts'

// Several users on two mounts that use different servers: what the kernel and the server together let them do.

t.setTimeout(120_000)

const rows = z.array(z.tuple([z.string(), z.unknown(), z.unknown()]))

void t.test('who may do what, seen from two mounts', async (t) => {
  const cluster = await Cluster.start(t)
  const [mirror] = await cluster.others()
  const other = await cluster.mount('other', mirror === undefined ? {} : { provider: mirror })
  await mustRun('chmod', ['711', cluster.folder]) // or nobody else comes as far as a mount
  const program = join(checkout, 'test/mount/rights.py')
  const { stdout } = await mustRun('python3', [program, cluster.tree, other], { limitMs: 60_000 })
  for (const [what, found, expected] of rows.parse(JSON.parse(stdout))) t.same(found, expected, what)
  await cluster.verifyEqual()
})
