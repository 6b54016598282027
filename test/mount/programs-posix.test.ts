import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { cModules } from '../fixtures/c-modules.ts'
import { Cluster, type Test } from '../fixtures/cluster.ts'
import { npmCi, packProject } from '../fixtures/packed-project.ts'
import { checkout } from '../fixtures/program.ts'
import { mustRun, type Ran } from '../fixtures/run.ts'

// Programs that look closely at what a file system does: to them the tree is what a local disk is. What one of two mounts
// shows is compared with what a plain folder of the disk's own file system shows, wherever both can say the same.

t.setTimeout(590_000)

const report = (t: Test, what: string, ran: Ran) => t.comment(`${what}: ${(ran.ms / 1000).toFixed(1)} s`)

const cluster = await Cluster.start(t)
const [mirror] = await cluster.others()
const other = await cluster.mount('other', mirror === undefined ? {} : { provider: mirror })
const plain = join(cluster.folder, 'plain')
mkdirSync(plain)

/** What a Python program beside this file prints. */
async function python(name: string, ...args: readonly string[]): Promise<string> {
  const { stdout } = await mustRun('python3', [join(checkout, 'test/mount', name), ...args], { limitMs: 120_000 })
  return stdout.trim()
}

void t.test(`${cModules.sources} C files are compiled by four jobs, later only what has changed`, async (t) => {
  cModules.make(join(plain, 'modules'))
  const project = join(cluster.tree, 'modules')
  await mustRun('cp', ['-r', join(plain, 'modules'), project])
  const make = () => mustRun('make', ['-C', project, '-j4'], { limitMs: 200_000 })
  const first = await make()
  report(t, 'make -j4', first)
  t.equal(cModules.compiled(first.stdout).length, cModules.sources, 'every file is compiled')
  t.equal((await mustRun(join(project, 'program'), [])).stdout, cModules.output, 'the program runs from the tree')
  t.match((await make()).stdout, /'program' is up to date/, 'nothing is made again')
  await mustRun('make', ['-C', join(other, 'modules'), '-q']) // says by its exit code that nothing is to be made
  await mustRun('touch', [join(other, 'modules', 'include', 'm7.h')])
  const again = await make()
  t.same(cModules.compiled(again.stdout), cModules.dependents(7), 'after a header was touched, what includes it')
  t.match((await make()).stdout, /'program' is up to date/, 'and then nothing')
  t.equal((await mustRun(join(other, 'modules', 'program'), [])).stdout, cModules.output, 'it runs on another host')
})

void t.test('npm ci installs a project as it does on a disk', async (t) => {
  const sources = join(cluster.folder, 'npm')
  mkdirSync(sources)
  const count = await packProject(sources)
  for (const place of [plain, cluster.tree]) {
    await mustRun('cp', ['-r', join(sources, 'project'), place])
    const cache = ['--cache', join(sources, 'cache')]
    // Not `cwd`: starting a program there would have this process touch the mount.
    const script = 'cd "$1" && shift && exec npm "$@"'
    const ran = await mustRun('sh', ['-c', script, 'sh', join(place, 'project'), ...npmCi, ...cache])
    report(t, `npm ci in ${place === plain ? 'a plain folder' : 'the tree'}`, ran)
    t.match(ran.stdout, new RegExp(`^added ${count} packages`, 'm'), `${count} packages`)
  }
  await mustRun('diff', ['-r', '--no-dereference', join(plain, 'project'), join(other, 'project')])
  const used = `import('level').then(({ Level }) => console.log(typeof Level))`
  const script = 'cd "$1" && exec node --input-type=module -e "$2"'
  const { stdout } = await mustRun('sh', ['-c', script, 'sh', join(other, 'project'), used])
  t.equal(stdout, 'function\n', 'what it installed can be used, on another host too')
})

void t.test('cp keeps holes, links, attributes and times', async (t) => {
  const cp = (from: string, to: string) => mustRun('cp', ['--reflink=auto', '--sparse=always', '-a', from, to])
  const source = join(plain, 'source')
  await python('tree-listing.py', source, 'make')
  await cp(source, join(plain, 'copy'))
  const wanted = await python('tree-listing.py', join(plain, 'copy'))
  report(t, 'cp into the tree', await cp(source, join(cluster.tree, 'copied')))
  t.equal(await python('tree-listing.py', join(other, 'copied')), wanted, 'into the tree')
  report(t, 'cp within the tree', await cp(join(cluster.tree, 'copied'), join(cluster.tree, 'copied again')))
  t.equal(await python('tree-listing.py', join(cluster.tree, 'copied again')), wanted, 'within the tree')
  report(t, 'cp out of the tree', await cp(join(other, 'copied again'), join(plain, 'copied back')))
  t.equal(await python('tree-listing.py', join(plain, 'copied back')), wanted, 'and out of it')
})

void t.test(
  'what editors save is seen as a whole by another mount, with links, mode and backup as on a disk',
  async (t) => {
    const began = performance.now()
    const found = await python('saves.py', cluster.tree, other)
    t.comment(`saves: ${((performance.now() - began) / 1000).toFixed(1)} s`)
    t.equal(found, await python('saves.py', plain, plain))
  },
)

void t.test('inotify tells of changes of this host as on a disk', async (t) => {
  t.equal(await python('inotify.py', cluster.tree), await python('inotify.py', plain))
  await cluster.verifyEqual()
})
