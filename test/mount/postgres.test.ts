import { join } from 'node:path'
import t from 'tap'
import { Cluster } from '../fixtures/cluster.ts'
import { Postgres } from '../fixtures/postgres.ts'
import { mustRun } from '../fixtures/run.ts'
import { waitFor } from '../fixtures/wait.ts'

// A database server keeps its data in the tree, and loses nothing when it dies, or when a file server dies under it.

t.setTimeout(590_000)

const cluster = await Cluster.start(t)
await mustRun('chmod', ['711', cluster.folder]) // or its user does not come as far as the tree
const home = join(cluster.tree, 'databases')
await mustRun('install', ['-d', '-m', '777', home])
const postgres = new Postgres({ data: join(home, 'data'), folder: join(cluster.folder, 'postgres') })
const clients = 4

/** Every transaction adds one number in four places. */
const sums =
  'SELECT (SELECT sum(delta) FROM pgbench_history) = ALL (ARRAY[(SELECT sum(abalance) FROM pgbench_accounts), ' +
  '(SELECT sum(tbalance) FROM pgbench_tellers), (SELECT sum(bbalance) FROM pgbench_branches)])'
const transactions = async () => Number(await postgres.sql('SELECT count(*) FROM pgbench_history'))
const processed = (stdout: string) => Number(/^number of transactions actually processed: (\d+)/m.exec(stdout)?.[1])
const seconds = (ms: number) => `${(ms / 1000).toFixed(1)} s`

/** Starts a load of several clients and gives it once it has done `wanted` transactions more. */
async function loaded(
  wanted: number,
  args: readonly string[],
): Promise<{ readonly ended: ReturnType<Postgres['bench']> }> {
  const before = await transactions()
  const ended = postgres.bench(['-n', '-c', String(clients), '-j', '2', ...args])
  await waitFor(async () => (await transactions()) >= before + wanted || undefined, {
    what: `${wanted} transactions`,
    limitMs: 60_000,
    everyMs: 100,
  })
  return { ended }
}

void t.test('a database is made and takes transactions of several clients', async (t) => {
  t.comment(`initdb: ${seconds((await postgres.initialize()).ms)}`)
  t.comment(`start: ${seconds(await postgres.start())}`)
  const filled = await postgres.bench(['-i', '-q', '-s', '1'])
  t.equal(filled.code, 0, `pgbench -i: ${seconds(filled.ms)} ${filled.code === 0 ? '' : filled.stderr}`)
  const ran = await postgres.bench(['-n', '-c', String(clients), '-j', '2', '-t', '100'])
  t.comment(`${Math.round((clients * 100) / (ran.ms / 1000))} transactions/s`)
  t.equal(ran.code, 0, ran.stderr)
  t.equal(await transactions(), clients * 100, 'each transaction was done once')
  t.equal(await postgres.sql(sums), 't', 'the sums are equal')
})

void t.test('what was committed is there when all its processes were killed', async (t) => {
  const before = await transactions()
  const { ended } = await loaded(100, ['-T', '100'])
  await postgres.kill()
  const { code, stdout } = await ended
  t.not(code, 0, 'the clients have lost their server')
  t.comment(`start after the kill: ${seconds(await postgres.start())}`)
  const [acknowledged, found] = [processed(stdout), (await transactions()) - before]
  t.comment(`${acknowledged} transactions had been acknowledged, ${found} are there`)
  t.ok(acknowledged >= 100 && found >= acknowledged, 'every acknowledged transaction is there')
  t.ok(found <= acknowledged + clients, 'and one more of each client at most')
  t.equal(await postgres.sql(sums), 't', 'the sums are equal')
  await postgres.check()
})

void t.test('the primary of the tree is killed, and no client of the database is told', async (t) => {
  const before = await transactions()
  const { ended } = await loaded(20, ['-t', '100'])
  const primary = await cluster.primary()
  cluster.signal(await cluster.pidOf(primary), 'SIGKILL')
  const ran = await ended
  t.equal(ran.code, 0, ran.stderr)
  t.equal((await transactions()) - before, clients * 100, 'each transaction was done once')
  t.equal(await postgres.sql(sums), 't', 'the sums are equal')
  await postgres.check()
  await postgres.stop()
  await cluster.startServer(primary)
  await cluster.resynced()
  t.comment(`start after the stop: ${seconds(await postgres.start())}`)
  t.equal(await postgres.sql(sums), 't', 'the sums are equal after another start')
  await postgres.stop()
  await cluster.verifyEqual()
})
