import { spawn } from 'node:child_process'
import { join } from 'node:path'
import t from 'tap'
import { Cluster } from '../fixtures/cluster.ts'
import { mustRun, run } from '../fixtures/run.ts'
import { loadFaults, RunningLoad } from '../fixtures/running-load.ts'
import { volumeInPlace } from '../fixtures/volume-in-place.ts'
import { waitFor } from '../fixtures/wait.ts'

// Several volumes in one tree, each with its own servers, on two mounts.

t.setTimeout(300_000)
const limitMs = 60_000
const cluster = await Cluster.start(t)
const second = await cluster.mount('second', { provider: 's3' })
const [here, there] = [join(cluster.tree, 'projects'), join(second, 'projects')]

const shell = async (script: string, ...args: string[]): Promise<string> =>
  (await mustRun('sh', ['-ec', script, 'sh', ...args], { limitMs })).stdout.trim()

/** The errno of a call of Python's os module, or `done`. */
const tried = (call: 'rename' | 'link' | 'rmdir', ...paths: readonly string[]): Promise<string> =>
  mustRun('python3', ['-c', attempt, call, ...paths], { limitMs }).then(({ stdout }) => stdout.trim())
const attempt = `
import errno, os, sys
try:
    getattr(os, sys.argv[1])(*sys.argv[2:])
    print('done')
except OSError as error:
    print(errno.errorcode[error.errno])
`

void t.test('a volume that is made is in its place on every mount, without mounting anew', async (t) => {
  const created = await cluster.mustBanyan(['volume', 'create', 'work', '--mirrors', 's2,s3', '--at', '/projects'], {
    limitMs,
  })
  t.match(created.stdout, /^Volume work is at \/projects in every mount, mirrored by s2, s3\.$/m)
  await Promise.all([volumeInPlace(here), volumeInPlace(there)])
  await shell('echo hello > "$1/file"; cd "$1"; mkdir inner', here)
  t.equal(await shell('cat "$1/file"', there), 'hello')
  t.equal(await shell('ls "$1"', second), 'projects', 'the directory above shows it')
  await cluster.mustBanyan(['volume', 'create', 'deep', '--mirrors', 's1', '--at', '/projects/inner'], { limitMs })
  await Promise.all([volumeInPlace(join(here, 'inner')), volumeInPlace(join(there, 'inner'))])
  const { volumes, mounts } = await cluster.status()
  t.same(
    volumes.map(({ members, name }) => [name, members.map((member) => member.name).join(' ')]),
    [
      ['main', 's1 s2 s3'],
      ['deep', 's1'],
      ['work', 's2 s3'],
    ],
  )
  t.equal(mounts.find(({ path }) => path === second)?.provider, 's3')
})

void t.test('what makes no sense is refused, with what to do', async (t) => {
  await shell('mkdir "$1/full"; echo x > "$1/full/x"', cluster.tree)
  const refused = async (says: RegExp, name: string, ...more: string[]): Promise<void> => {
    const { code, stderr } = await cluster.banyan(['volume', 'create', name, ...more], { limitMs })
    t.equal(code, 1, name)
    t.match(stderr, says)
    t.match(stderr, /Nothing was changed/)
  }
  await refused(/there is a volume work already.*another name/, 'work', '--mirrors', 's1')
  await refused(/there is no server s9\..*Name some of s1, s2, s3/, 'more', '--mirrors', 's1,s9')
  const at = (path: string): string[] => ['--mirrors', 's1', '--at', path]
  await refused(/\/full is not empty/, 'more', ...at('/full'))
  await refused(/there is no directory \/none in the tree.*Make it/, 'more', ...at('/none/more'))
  const { stdout } = await cluster.mustBanyan(['volume', 'list', '--json'], { limitMs })
  t.same((JSON.parse(stdout) as { name: string; at: string }[]).map(({ at: place }) => place).toSorted(), [
    '/',
    '/projects',
    '/projects/inner',
  ])
})

void t.test('programs see one tree', async (t) => {
  await shell('mkdir -p "$1/a/b"; ln "$1/file" "$1/a/again"; ln -s ../file "$1/a/link"; echo 1 > "$1/inner/one"', here)
  t.equal(await shell('cd "$1/a/b"; cd ..; cd ..; pwd -P', here), here, 'up and down, and getcwd')
  t.equal(await shell('stat -c %i "$1/.."', here), await shell('stat -c %i "$1"', cluster.tree))
  const inodes = await shell('find "$1" ! -type d -printf "%D:%i %n\n" | sort | uniq -c', cluster.tree)
  for (const line of inodes.split('\n')) t.match(line, /^\s*1 .* 1$|^\s*2 .* 2$/, 'no two files are one, but links')
  const directories = await shell('find "$1" -type d -printf "%D:%i\n" | sort | uniq -d', cluster.tree)
  t.equal(directories, '', 'nor two directories')
  t.equal(await shell('find "$1" -name one', cluster.tree), join(here, 'inner/one'))
  t.equal(
    await shell('stat -c %i "$1/file"', here),
    await shell('stat -c %i "$1/file"', there),
    'on every mount the same',
  )
  const used = await shell('df --output=iused "$1/inner/one" | tail -1', here)
  t.equal(used, '2', 'df tells of the volume: its root, and one file')
  await shell(
    'cd "$1"; tar -cf "$2/all.tar" .; mkdir "$2/out"; tar -xf "$2/all.tar" -C "$2/out"',
    cluster.tree,
    cluster.folder,
  )
  await shell('diff -r "$1" "$2/out"', cluster.tree, cluster.folder)
  t.equal(await shell('stat -c %h "$1/out/projects/a/again"', cluster.folder), '2', 'links are links again')
  const flat = await shell('du -s --inodes "$1" | cut -f1', cluster.tree)
  t.equal(flat, await shell('find "$1" -printf "%i\n" | sort -u | wc -l', cluster.tree), 'du counts each once')
})

void t.test('nothing is renamed or linked from one volume into another, but moved', async (t) => {
  await shell('echo move > "$1/move"', cluster.tree)
  t.equal(await tried('rename', join(cluster.tree, 'move'), join(here, 'move')), 'EXDEV')
  t.equal(await tried('link', join(here, 'file'), join(cluster.tree, 'linked')), 'EXDEV')
  await shell('mv "$1/move" "$2/moved"', cluster.tree, here)
  t.equal(await shell('cat "$1/moved"', there), 'move')
  t.equal(await tried('rmdir', here), 'EBUSY')
  t.equal(await tried('rename', here, join(cluster.tree, 'elsewhere')), 'EBUSY')
})

void t.test('locks are one for all mounts, and a driver that is killed is replaced in every volume', async (t) => {
  const locked = await run('flock', [join(here, 'file'), 'flock', '-n', join(there, 'file'), 'true'], { limitMs })
  t.equal(locked.code, 1, 'somebody has it')
  const script =
    'exec 3<"$1/file" 4>"$1/open"; rm "$1/open"; echo ready; read -r line; echo "$line" >&4; cat <&3; ls "$1"'
  const reader = spawn('sh', ['-ec', script, 'sh', there], { stdio: ['pipe', 'pipe', 'inherit'] })
  const said: string[] = []
  reader.stdout.setEncoding('utf8').on('data', (text: string) => said.push(text))
  await waitFor(() => said.length > 0 || undefined, { what: 'the files to be open', limitMs: 10_000 })
  await cluster.killDriver(second)
  const ended = new Promise<number | null>((resolve) => void reader.once('exit', resolve))
  reader.stdin.end('on\n')
  t.equal(await ended, 0, 'what was open goes on')
  t.match(said.join(''), /^ready\nhello\n[^]*inner\nmoved\n/)
})

void t.test('git works in it, and its primary is killed under load; the others do not notice', async (t) => {
  const project = join(here, 'project')
  const git = 'git -c user.name=n -c user.email=e@example.org -c init.defaultBranch=main'
  await shell(
    `${git} init -q "$1"; cd "$1"; seq 200 | xargs -I N sh -c 'echo N > N'; git add .; ${git} commit -qm all`,
    join(cluster.folder, 'origin'),
  )
  await shell(
    'git clone -q "$1" "$2"; cd "$2"; test -z "$(git status --short)"; git fsck --full',
    join(cluster.folder, 'origin'),
    project,
  )
  const [inWork, inMain] = [join(here, 'load'), join(cluster.tree, 'load')]
  const work = await RunningLoad.start(cluster.folder, [{ id: 'w', directory: inWork }])
  const main = await RunningLoad.start(cluster.folder, [{ id: 'm', directory: inMain }])
  await work.progress(50)
  const primary = (await cluster.status()).volumes.find(({ name }) => name === 'work')?.primary
  t.match(primary, /^s[23]$/)
  cluster.signal(await cluster.pidOf(String(primary)), 'SIGKILL')
  await work.progress(100)
  await main.progress(50)
  await cluster.startServer(String(primary))
  t.same(await loadFaults(inWork, await work.stop()), [])
  t.same(await loadFaults(inMain, await main.stop()), [])
  await cluster.resynced()
  const verified = await cluster.mustBanyan(['verify'], { limitMs })
  t.match(verified.stdout, /^volume main:\n.*are equal.*\nvolume deep:\n.*equal.*\nvolume work:\n.*are equal/m)
})

void t.test('down takes all of it away', async (t) => {
  await cluster.unmount(second)
  t.equal(await cluster.down(), 0)
  for (const path of [cluster.tree, second]) t.notOk(cluster.isMounted(path), path)
})
