import { existsSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { Cluster } from '../fixtures/cluster.ts'
import { mustRun, run } from '../fixtures/run.ts'
import { loadFaults, RunningLoad } from '../fixtures/running-load.ts'
import { text } from '../fixtures/sources.ts'
import { waitFor } from '../fixtures/wait.ts'

// The disk of one mirror is small. Files that fill it are refused; what fills it from outside costs that mirror its place.

t.setTimeout(300_000)

const diskMib = 192
const small = 's2'

const cluster = await Cluster.start(t, {
  prepare: async (state) => {
    const [image, store] = [join(state, '..', 'disk.img'), join(state, small)]
    mkdirSync(store, { mode: 0o700 })
    await mustRun('truncate', ['-s', `${diskMib}M`, image])
    await mustRun('mkfs.ext4', ['-q', '-m', '0', '-b', '4096', '-N', '4096', image])
    await mustRun('mount', ['-o', 'loop', image, store])
  },
})
const store = join(cluster.state, small)

void t.test(
  'files that fill the smallest disk are refused with ENOSPC, and nothing half-written is seen',
  async (t) => {
    const source = join(cluster.folder, 'source')
    await mustRun('dd', ['if=/dev/urandom', `of=${source}`, 'bs=1M', 'count=8'])
    const written: string[] = []
    let refused = ''
    for (let number = 0; refused === '' && number * 8 < diskMib * 2; number += 1) {
      const file = join(cluster.tree, `fill-${number}`)
      const copied = await run('cp', [source, file])
      if (copied.code === 0) written.push(file)
      else refused = copied.stderr
      if ((await cluster.member(small)).state !== 'in-sync') break
    }
    const { state } = await cluster.member(small)
    t.comment(
      `${written.length * 8} MiB were written on a disk of ${diskMib} MiB; ${small} is ${state}; cp said: ${refused.trim()}`,
    )
    t.match(refused, /No space left on device/, 'the client is told')
    t.equal(state, 'in-sync', `${small} has not lost its place`)
    for (const file of written) await mustRun('cmp', [source, file])
    const last = join(cluster.tree, `fill-${written.length}`)
    if (existsSync(last)) {
      const half = (await mustRun('stat', ['-c', '%s', last])).stdout.trim()
      await mustRun('cmp', ['-n', half, source, last])
      t.pass(`of the refused file there is what was acknowledged, ${half} bytes, and nothing else`)
    } else t.match(refused, /cannot create/, 'the file itself was refused, and is not there')
    const names = (await mustRun('ls', [cluster.tree])).stdout
    t.comment(`df: ${(await mustRun('df', ['-m', cluster.tree])).stdout.split('\n')[1]}`)
    await mustRun('sh', ['-c', 'rm "$0"/fill-*', cluster.tree])
    t.pass(`deleting works on a full disk (${names.split('\n').length - 1} names)`)
    await waitFor(
      async () => ((await run('cp', [source, join(cluster.tree, 'again')])).code === 0 ? true : undefined),
      {
        what: 'writing to work again after files were removed',
        limitMs: 30_000,
      },
    )
    await mustRun('cmp', [source, join(cluster.tree, 'again')])
    await cluster.verifyEqual()
  },
)

void t.test('a mirror whose disk is filled from outside never stops the others, and recovers with space', async (t) => {
  const load = await RunningLoad.start(cluster.folder, [{ id: 'a', directory: join(cluster.tree, 'work') }])
  await load.progress(100)
  const strange = join(store, 'a-file-of-somebody-else') // a name that the server has no use for itself
  const filled = await run('dd', ['if=/dev/zero', `of=${strange}`, 'bs=1M'])
  t.match(filled.stderr, /No space left on device/, 'the disk is full')
  const writes: string[] = []
  for (const number of [1, 2, 3, 4]) {
    const file = join(cluster.tree, `under-pressure-${number}`)
    const copied = await run('sh', ['-c', 'cat > "$0"', file], { input: text(number, 500_000) })
    writes.push(copied.code === 0 ? 'written' : copied.stderr.trim())
  }
  const { state, pid } = await cluster.member(small)
  const process = pid === null ? 'has ended' : 'lives' // what fills the disk may be quicker than its look at the room
  t.comment(`with its disk full ${small} is ${state}, its process ${process}; writes: ${writes.join(', ')}`)
  for (const [index, outcome] of writes.entries()) {
    const file = join(cluster.tree, `under-pressure-${index + 1}`)
    if (outcome !== 'written') {
      t.match(outcome, /No space left on device/, 'a refusal says why')
      continue
    }
    t.equal((await mustRun('cat', [file])).stdout, text(index + 1, 500_000), 'what was accepted is whole')
  }
  await mustRun('rm', [strange])
  t.comment(`in sync ${(await cluster.inSync()).toFixed(0)} ms after there was space again`)
  await waitFor(async () => ((await run('touch', [join(cluster.tree, 'well')])).code === 0 ? true : undefined), {
    what: 'writing to work again',
    limitMs: 30_000,
  })
  const records = await load.stop()
  const refusals = records.flatMap((record) => record.errors.filter(({ error }) => error.includes('ENOSPC')))
  t.comment(`of the load were refused with ENOSPC: ${refusals.map(({ kind }) => kind).join(', ') || 'none'}`)
  const faults = await loadFaults(join(cluster.tree, 'work'), records)
  t.same(
    faults.filter((fault) => !fault.includes('ENOSPC')),
    [],
    'nothing acknowledged is lost, nothing refused is there',
  )
  await cluster.verifyEqual()
})

void t.test('a server that finds no room when it starts does not serve, and does once there is room', async (t) => {
  const fillers = join(store, 'files-of-somebody-else')
  await cluster.stopServer(small)
  const filled = await run('sh', ['-c', 'mkdir "$0" && cd "$0" && seq 8192 | xargs touch', fillers])
  t.match(filled.stderr, /No space left on device/, 'no further file can be made on the disk')
  const started = await cluster.banyan(['server', 'start', small], { limitMs: 60_000 })
  t.match(started, { code: 1, stderr: /No space left on device/ })
  await mustRun('touch', [join(cluster.tree, 'without-it')])
  await mustRun('rm', ['-r', fillers])
  t.comment(`in sync ${(await cluster.inSync()).toFixed(0)} ms after there was room, though nobody started it again`)
  await cluster.verifyEqual()
})
