import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { Cluster, type Test } from '../fixtures/cluster.ts'
import { mustRun, type Ran, run } from '../fixtures/run.ts'
import { makeTree } from '../fixtures/sources.ts'

// A tree of many files, made through one mount, is the same through every other, at every server, and afterwards.

t.setTimeout(590_000)

const report = (t: Test, what: string, ran: Ran) => t.comment(`${what}: ${(ran.ms / 1000).toFixed(1)} s`)
const count = async (directory: string) =>
  Number((await mustRun('sh', ['-c', `find '${directory}' -type f | wc -l`])).stdout)

const cluster = await Cluster.start(t)
const sources = join(cluster.folder, 'sources')
mkdirSync(sources)

void t.test('a tar of 5,000 files is extracted equal, on every mount and after mounting again', async (t) => {
  const [plain, archive, extracted] = [join(sources, 'tree'), join(sources, 'tree.tar'), join(cluster.tree, 'tree')]
  makeTree(plain, 5200)
  await mustRun('tar', ['-cf', archive, '-C', sources, 'tree'])
  const [mirror = 's2'] = await cluster.others()
  const pinned = await cluster.mount('pinned', { provider: mirror })
  report(t, 'tar x', await mustRun('tar', ['-xf', archive, '-C', cluster.tree], { limitMs: 400_000 }))
  const files = await count(extracted)
  t.comment(`${files} files`)
  t.ok(files >= 5000, 'at least 5,000 files')
  const equal = async (where: string, what: string) => {
    const diff = await run('diff', ['-r', '--no-dereference', plain, where])
    report(t, `diff -r ${what}`, diff)
    t.equal(
      diff.code,
      0,
      `diff -r finds no difference ${what} ${diff.stdout.slice(0, 500)}${diff.stderr.slice(0, 500)}`,
    )
  }
  await equal(extracted, 'where it was extracted')
  t.equal(await count(join(pinned, 'tree')), files, `a second mount, pinned to ${mirror}, has as many files`)
  await cluster.unmount(pinned)
  await cluster.mount('pinned', { provider: mirror })
  await equal(join(pinned, 'tree'), `on the mount pinned to ${mirror}, unmounted and mounted again`)
  const list = `find . ! -type d -printf '%P %m %y %s\\n' | sort`
  const listed = (top: string) => mustRun('sh', ['-c', `cd '${top}' && ${list}`])
  t.equal((await listed(extracted)).stdout, (await listed(plain)).stdout, 'modes and sizes are those of the originals')
  await cluster.unmount(pinned)
})

void t.test('up ends, starts again, and the tree is as it was', async (t) => {
  t.equal(await cluster.down(), 0, 'up ends cleanly')
  await cluster.up()
  const names = (top: string) => mustRun('sh', ['-c', `cd '${top}' && find . -type f -printf '%P %s\\n' | sort`])
  t.equal((await names(join(cluster.tree, 'tree'))).stdout, (await names(join(sources, 'tree'))).stdout)
  await cluster.verifyEqual()
})
