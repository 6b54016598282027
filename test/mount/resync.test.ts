import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { Cluster } from '../fixtures/cluster.ts'
import { mustRun } from '../fixtures/run.ts'
import { loadFaults, RunningLoad } from '../fixtures/running-load.ts'
import { makeTree } from '../fixtures/sources.ts'
import { Hopeless, waitFor } from '../fixtures/wait.ts'

// A mirror is away while much is written. What it fetches afterwards is what was written, and no more.

t.setTimeout(590_000)

const mib = 1 << 20
const files = ['big-0', 'big-1', 'big-2', 'big-3']
const fileMib = 256
/** Where 200 MiB go: file, and the first MiB of 25. */
const changes = [1, 60, 150, 220].flatMap((at) => [
  { file: files[0] ?? '', at },
  { file: files[2] ?? '', at: at + 4 },
])
const changedMib = changes.length * 25

const cluster = await Cluster.start(t)
const plain = join(cluster.folder, 'plain')
mkdirSync(plain)

void t.test('a mirror that was away fetches what changed, while clients write, across a kill -9', async (t) => {
  const started = performance.now()
  await mustRun('dd', ['if=/dev/urandom', `of=${plain}/new`, 'bs=1M', `count=${changedMib}`])
  for (const file of files) {
    await mustRun('dd', ['if=/dev/urandom', `of=${plain}/${file}`, 'bs=1M', `count=${fileMib}`])
    await mustRun('cp', [join(plain, file), join(cluster.tree, file)], { limitMs: 180_000 })
  }
  const seconds = (performance.now() - started) / 1000
  t.comment(`${files.length} files of ${fileMib} MiB were made and copied in ${seconds.toFixed(1)} s`)

  const away = (await cluster.others())[0] ?? ''
  await cluster.stopServer(away)
  await cluster.waitForState(away, 'down')
  for (const [index, { file, at }] of changes.entries()) {
    for (const to of [plain, cluster.tree]) {
      const args = [`if=${plain}/new`, `of=${to}/${file}`, 'bs=1M', 'count=25', `skip=${index * 25}`, `seek=${at}`]
      await mustRun('dd', [...args, 'conv=notrunc'])
    }
  }
  makeTree(join(plain, 'small'), 2000)
  await mustRun('cp', ['-r', join(plain, 'small'), cluster.tree])
  const smallBytes = Number(
    (await mustRun('du', ['-sb', '--apparent-size', join(plain, 'small')])).stdout.split('\t')[0],
  )
  const changed = changedMib * mib + smallBytes

  const load = await RunningLoad.start(cluster.folder, [{ id: 'a', directory: join(cluster.tree, 'work') }])
  await load.progress(100)
  const began = performance.now()
  await cluster.startServer(away)
  const cutAt = await waitFor(
    async () => {
      const { state, resync, pid } = await cluster.member(away)
      if (state === 'in-sync') throw new Hopeless('it was in sync before it could be killed')
      const done = resync?.bytesDone ?? 0
      return pid !== null && done > changed / 10 ? { done, pid } : undefined
    },
    { what: `${away} to have fetched a tenth`, limitMs: 60_000, everyMs: 10 },
  )
  cluster.signal(cutAt.pid, 'SIGKILL')
  t.comment(`killed after ${(cutAt.done / mib).toFixed(0)} MiB of the resync`)
  t.ok(cutAt.done < changed * 0.9, 'it was in the middle')
  await cluster.waitForState(away, 'down')
  await cluster.startServer(away)

  const seen: { done: number; total: number }[] = []
  await waitFor(
    async () => {
      const { state, resync } = await cluster.member(away)
      if (resync !== null) seen.push({ done: resync.bytesDone, total: resync.bytesTotal })
      return state === 'in-sync' || undefined
    },
    { what: `${away} to be in sync`, limitMs: 120_000, everyMs: 10 },
  )
  t.comment(`in sync ${((performance.now() - began) / 1000).toFixed(1)} s after it was first started`)
  const wentOnAt = seen[0]?.done ?? 0
  t.comment(`went on at ${(wentOnAt / mib).toFixed(1)} MiB`)
  t.ok(wentOnAt >= cutAt.done, 'it went on from where it was cut')
  const moved = Math.max(...seen.map(({ done }) => done))
  const factor = moved / changed
  t.comment(`moved ${(moved / mib).toFixed(1)} MiB for ${(changed / mib).toFixed(1)} MiB changed: ${factor.toFixed(2)}`)
  t.ok(factor <= 1.2, 'bytes moved are at most 1.2 times the bytes changed')
  t.ok(moved >= changed * 0.9, 'and the figure is not too small to be true')

  await load.progress(100)
  const records = await load.stop()
  t.same(await loadFaults(join(cluster.tree, 'work'), records), [], 'clients wrote on meanwhile')
  const pinned = await cluster.mount('pinned', { provider: away })
  const compared = performance.now()
  for (const file of files) await mustRun('cmp', [join(plain, file), join(pinned, file)])
  await mustRun('diff', ['-r', join(plain, 'small'), join(pinned, 'small')])
  t.comment(`read back through the returned mirror in ${((performance.now() - compared) / 1000).toFixed(1)} s`)
  await cluster.unmount(pinned)
  const verified = performance.now()
  await cluster.verifyEqual()
  t.comment(`banyan verify: ${((performance.now() - verified) / 1000).toFixed(1)} s`)
})

void t.test('a mirror that missed nothing moves nothing', async (t) => {
  const away = (await cluster.others())[0] ?? ''
  await cluster.stopServer(away)
  await cluster.waitForState(away, 'down')
  await cluster.startServer(away)
  t.comment(`in sync ${(await cluster.inSync()).toFixed(0)} ms after it was started`)
})

void t.test('banyan resync waits until all are in sync, and compares everything when told to', async (t) => {
  const away = (await cluster.others())[0] ?? ''
  const full = await cluster.mustBanyan(['resync', '--full', '--member', away], { limitMs: 120_000 })
  t.comment(`resync --full: ${(full.ms / 1000).toFixed(1)} s`)
  t.equal((await cluster.member(away)).state, 'in-sync')
  const nothing = await cluster.mustBanyan(['resync'])
  t.equal(nothing.code, 0, 'nothing to do is success')
})
