import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { TestLab } from '../fixtures/lab-of.ts'
import type { LoadRecord } from '../fixtures/load-record.ts'
import { mustRun } from '../fixtures/run.ts'
import { loadFaults, now, RunningLoad } from '../fixtures/running-load.ts'
import { expect, waitFor } from '../fixtures/wait.ts'

// A mirror's host is away while much is changed, and comes back under load: it fetches what was changed and no more, and clients
// keep at least half their pace meanwhile. Then its disk is lost: it is filled completely.

t.setTimeout(3_600_000)
/** `npm run soak` runs the long form: 100,000 operations and 1 GiB. */
const long = process.env['BANYAN_LONG_ABSENCE'] !== undefined
const [operations, changedMib] = long ? [100_000, 1024] : [5000, 64]
const slowestShare = 0.5
/** In the short form a resync lasts a second or two, on the processors on which clients run: less can be said of it. */
const slowestShareShort = 0.2
const paceMs = 5
/** Of what no entry of the journal has brought, which is not counted as moved. */
const mostOf = 0.6
const mib = 1 << 20

const hosts = await TestLab.start(t, { servers: 3, clients: 2, serversMount: false })
const { lab } = hosts
const [x, y] = [lab.tree('x'), lab.tree('y')]
const clients = ['x', 'y'] as const

/** Does so many operations in a new folder: files are made, written, given other rights, some renamed, some removed. */
const churn = `
import os, sys
top, wanted = sys.argv[1], int(sys.argv[2])
done = number = size = 0
while done < wanted:
    folder = f'{top}/{number // 500}'
    if number % 500 == 0: os.makedirs(folder); done += 1
    name, number = f'{folder}/{number}', number + 1
    with open(name, 'xb', buffering=0) as file: size += file.write(b'%09d\\n' % number * (number % 800))
    os.chmod(name, 0o600); done += 3
    if number % 8 == 0: os.rename(name, name + '.moved'); done += 1
    if number % 8 == 1: os.unlink(name); done += 1; size -= number % 800 * 10
print(size)
`

interface LogLine {
  readonly msg: string
  /** On the wall clock. */
  readonly time: number
  readonly bytes?: number
  readonly items?: number
  readonly from?: number
  readonly committed?: number
}

/** What the file server of a host has logged. */
function logOf(host: string): LogLine[] {
  return readFileSync(join(lab.place(host, 'state/log'), `${host}.log`), 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as LogLine)
}

const lastOf = (host: string, msg: string): LogLine =>
  expect(
    logOf(host).findLast((line) => line.msg === msg),
    `${host} has logged no ${msg}`,
  )

/** Entries that the journal brought before the last resync began: of a stretch that is too long for it only the first come so. */
function followed(host: string): number {
  const begins = lastOf(host, 'resync.begins')
  const known = logOf(host).findLast(({ msg, time }) => msg === 'resync.done' && time < begins.time)
  return (begins.from ?? 0) - (known?.committed ?? 0)
}

/** Operations a second that ended in a stretch of time. */
function pace(records: readonly LoadRecord[], from: number, to: number): number {
  const ended = records.flatMap((record) => record.operations).filter(({ end }) => end >= from && end < to)
  return (ended.length * 1000) / (to - from)
}

/** Overwrites every other MiB. Nothing of it is held back when it ends: that would come with what clients do later. */
const overwrite = (file: string): Promise<unknown> =>
  mustRun(
    'python3',
    [
      '-c',
      'import os, sys\nwith open(sys.argv[1], "r+b", buffering=0) as file:\n    for at in range(int(sys.argv[2])): file.seek(2 * at << 20); file.write(os.urandom(1 << 20))\n    os.fsync(file)',
      file,
      String(changedMib),
    ],
    { limitMs: 900_000 },
  )

async function changeMuch(): Promise<number> {
  const each = operations / clients.length
  const churns = clients.map((client) =>
    mustRun('python3', ['-c', churn, join(lab.tree(client), `churn-${client}`), String(each)], { limitMs: 1_800_000 }),
  )
  const [, ...sizes] = await Promise.all([overwrite(join(x, 'big')), ...churns])
  return changedMib * mib + sizes.reduce((sum, { stdout }) => sum + Number(stdout), 0)
}

async function startLoad(name: string): Promise<RunningLoad> {
  const places = clients.map((client) => ({ id: client, directory: join(lab.tree(client), name) }))
  const load = await RunningLoad.start(hosts.folder, places, paceMs)
  await load.progress(long ? 3000 : 600)
  return load
}

async function comesBack(
  t: Test,
  away: string,
  load: RunningLoad,
): Promise<{ records: readonly LoadRecord[]; share: number }> {
  const wallAhead = Date.now() - now()
  const began = now()
  await lab.start(away)
  await lab.inSync(long ? 1_800_000 : 120_000)
  const seconds = (now() - began) / 1000
  await load.progress(100)
  const records = await load.stop()
  const [from, to] = ['resync.begins', 'resync.done'].map((msg) => lastOf(away, msg).time - wallAhead) as [
    number,
    number,
  ]
  const first = Math.min(...records.flatMap((record) => record.operations.map(({ start }) => start)))
  const [before, during] = [pace(records, first, began), pace(records, from, to)]
  const begun = logOf(away).filter(({ msg, time }) => msg === 'resync.begins' && time - wallAhead >= began)
  t.comment(`begun ${begun.length} times`)
  t.comment(`in sync ${seconds.toFixed(1)} s after it was started; resync took ${((to - from) / 1000).toFixed(1)} s`)
  t.comment(
    `clients: ${before.toFixed(0)} operations/s before, ${during.toFixed(0)} during it: ${(during / before).toFixed(2)}`,
  )
  return { records, share: during / before }
}

void t.test('a mirror that was away fetches what was changed, and clients go on', async (t) => {
  await mustRun('dd', ['if=/dev/urandom', `of=${join(x, 'big')}`, 'bs=1M', `count=${2 * changedMib}`], {
    limitMs: 900_000,
  })
  await mustRun('sync', [join(x, 'big')], { limitMs: 300_000 })
  const away = await hosts.mirror('x')
  const left = performance.now()
  await lab.kill(away)
  const changed = await changeMuch()
  const load = await startLoad('work')
  t.comment(`away for ${((performance.now() - left) / 1000).toFixed(0)} s`)
  const { records, share } = await comesBack(t, away, load)

  const { bytes = 0, items = 0 } = lastOf(away, 'resync.done')
  t.comment(`moved ${(bytes / mib).toFixed(1)} MiB in ${items} items for ${(changed / mib).toFixed(1)} MiB changed`)
  t.ok(bytes <= 1.2 * changed, 'it moved at most 1.2 times what was changed')
  t.comment(`${followed(away)} entries, of a MiB at most each, came by the journal`)
  t.ok(bytes >= (mostOf * changedMib - followed(away)) * mib, 'and the figure is not too small to be true')
  const least = long ? slowestShare : slowestShareShort
  t.ok(share >= least, `clients kept ${share.toFixed(2)} of their pace, at least ${least}`)
  t.same(await loadFaults(join(y, 'work'), records), [], 'no error, nothing lost, nothing twice')
  await hosts.verifyEqual('y')
})

void t.test('a mirror whose disk is empty is filled completely', async (t) => {
  const away = await hosts.mirror('x')
  await lab.kill(away)
  const store = join(lab.place(away, 'state'), away)
  t.ok(existsSync(join(store, 'journal')), `its store is in ${readdirSync(lab.place(away, 'state')).join(', ')}`)
  rmSync(store, { recursive: true })
  const load = await startLoad('filling')
  const { records } = await comesBack(t, away, load)
  const { bytes = 0 } = lastOf(away, 'resync.done')
  t.comment(`moved ${(bytes / mib).toFixed(1)} MiB`)
  t.ok(bytes >= mostOf * 2 * changedMib * mib, 'the contents; that it is all is compared below')
  t.same(await loadFaults(join(y, 'filling'), records), [], 'no error, nothing lost, nothing twice')
  await hosts.verifyEqual('y')
  await waitFor(
    async () => (await hosts.status('x')).volumes[0]?.members.every(({ state }) => state === 'in-sync') || undefined,
    {
      what: 'status to say so',
      limitMs: 20_000,
    },
  )
})
