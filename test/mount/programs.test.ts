import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { Cluster, type Test } from '../fixtures/cluster.ts'
import { mustRun, type Ran, run } from '../fixtures/run.ts'
import { gitEnvironment, makeProject, makeRepository, makeTree } from '../fixtures/sources.ts'

// What people do with a directory, done by their own programs on a tree with three mirrors.

t.setTimeout(590_000)

const report = (t: Test, what: string, ran: Ran) => t.comment(`${what}: ${(ran.ms / 1000).toFixed(1)} s`)

const cluster = await Cluster.start(t)
const sources = join(cluster.folder, 'sources')
mkdirSync(sources)

void t.test('a repository of 2,000 files is cloned, checked and found clean', async (t) => {
  const [origin, clone] = [join(sources, 'origin'), join(cluster.tree, 'clone')]
  await makeRepository(origin, 2100)
  const git = (...args: string[]) => mustRun('git', args, { env: gitEnvironment, limitMs: 400_000 })
  report(t, 'git clone', await git('clone', '-q', `file://${origin}`, clone))
  report(t, 'git fsck', await git('-C', clone, 'fsck', '--full', '--strict'))
  const status = await git('-C', clone, 'status', '--porcelain')
  report(t, 'git status', status)
  t.equal(status.stdout, '', 'git status is clean')
  const files = Number((await git('-C', clone, 'ls-files')).stdout.split('\n').length - 1)
  t.comment(`${files} files`)
  t.ok(files >= 2000, 'at least 2,000 files')
  await git('-C', clone, 'diff', '--quiet', 'HEAD')
})

void t.test('a database keeps 500 transactions', async (t) => {
  const database = join(cluster.tree, 'database.sqlite')
  const inserts = Array.from({ length: 500 }, (_, n) => `BEGIN; INSERT INTO t VALUES(${n}, 'value ${n}'); COMMIT;`)
  const filled = await mustRun('sqlite3', ['-bail', database], {
    input: `CREATE TABLE t(k INTEGER PRIMARY KEY, v TEXT);\n${inserts.join('\n')}\n`,
  })
  report(t, '500 sqlite transactions', filled)
  t.comment(`${Math.round(500 / (filled.ms / 1000))} transactions/s`)
  const asked = await mustRun('sqlite3', [database], {
    input: 'PRAGMA integrity_check; SELECT count(*), sum(k) FROM t;',
  })
  t.equal(asked.stdout, 'ok\n500|124750\n', 'integrity_check says ok and every row is there')
})

void t.test('a C project is compiled and runs', async (t) => {
  const project = join(cluster.tree, 'project')
  makeProject(join(sources, 'project'), 40)
  await mustRun('cp', ['-r', join(sources, 'project'), project])
  report(t, 'make -j2', await mustRun('make', ['-C', project, '-j2'], { limitMs: 400_000 }))
  t.equal((await mustRun(join(project, 'sum'), [])).stdout, '820\n', 'the program runs from the tree')
  t.match((await mustRun('make', ['-C', project])).stdout, /up to date/, 'times are right: nothing is made again')
})

void t.test('a second rsync moves nothing', async (t) => {
  makeTree(join(sources, 'few'), 600)
  const to = join(cluster.tree, 'copied')
  const rsync = (...args: string[]) =>
    mustRun('rsync', ['-aHX', '--stats', '--itemize-changes', ...args, `${join(sources, 'few')}/`, to])
  const first = await rsync()
  report(t, 'rsync -a', first)
  t.match(first.stdout, /Number of regular files transferred: 601\b/, 'the first moves every file')
  const second = await rsync()
  report(t, 'rsync -a again', second)
  t.match(second.stdout, /Number of regular files transferred: 0\b/, 'no file is moved')
  t.notMatch(second.stdout, /^[<>ch.*][fdL]/m, 'no attribute is changed either')
  t.match((await rsync('--checksum')).stdout, /Number of regular files transferred: 0\b/, 'contents are equal')
})

void t.test('random writes are read back as they were written', async (t) => {
  const file = join(cluster.tree, 'fio')
  const args = ['--name=verify', `--filename=${file}`, '--rw=randwrite', '--size=24m', '--verify=crc32c']
  const more = [
    '--bsrange=1k-64k',
    '--bs_unaligned',
    '--verify_fatal=1',
    '--do_verify=1',
    '--ioengine=psync',
    '--fsync=64',
  ]
  const fio = await run('fio', [...args, ...more, '--randseed=20', '--output-format=normal'], { limitMs: 400_000 })
  report(t, 'fio --verify', fio)
  t.equal(fio.code, 0, `fio --verify finds no wrong block: ${fio.stderr.slice(0, 500)}`)
  t.match(fio.stdout, /err= 0/, 'and no error')
})

void t.test('after all of it the mirrors are equal', async (t) => {
  const began = performance.now()
  await cluster.verifyEqual()
  t.comment(`banyan verify: ${((performance.now() - began) / 1000).toFixed(1)} s`)
  t.equal(await cluster.down(), 0, 'up ends cleanly on SIGTERM')
  t.notOk(cluster.isMounted(cluster.tree), 'and has unmounted the tree')
})
