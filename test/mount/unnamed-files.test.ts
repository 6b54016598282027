import { spawn } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { Cluster } from '../fixtures/cluster.ts'
import { mustRun } from '../fixtures/run.ts'
import { waitFor } from '../fixtures/wait.ts'

// Files that lose their last name, or never had one, while another host has them open; and what df and du say meanwhile.

t.setTimeout(120_000)

const cluster = await Cluster.start(t)
const [mirror = 's2'] = await cluster.others()
const other = await cluster.mount('other', { provider: mirror })

/** Opens the files it is given and one without a name, says so, waits for a line, then writes to each and reads it back. */
const holder = `
import os, sys
fds = [os.open(name, os.O_RDWR) for name in sys.argv[2:]]
fds.append(os.open(sys.argv[1], os.O_TMPFILE | os.O_RDWR)); os.write(fds[-1], b'x' * (1 << 20))
print('open', flush=True); sys.stdin.readline()
for fd in fds:
    os.pwrite(fd, b'later', 1 << 20)
    print(os.fstat(fd).st_nlink, os.fstat(fd).st_size, os.pread(fd, 4, 0).decode(), os.pread(fd, 9, 1 << 20).decode(), flush=True)
sys.stdin.readline()
`

const inodes = async (): Promise<number> => {
  const [all = 0, free = 0] = (await mustRun('stat', ['-f', '-c', '%c %d', cluster.tree])).stdout.split(' ').map(Number)
  return all - free
}

void t.test('what another host removes or renames over stays usable until it is closed, then it is gone', async (t) => {
  const [removed, replaced] = [join(other, 'removed'), join(other, 'replaced')]
  const script = join(cluster.folder, 'holder.py')
  writeFileSync(script, holder)
  const tree = cluster.tree
  await mustRun('sh', ['-ec', 'cd "$0"; for f in removed replaced; do yes yyyyyyy | head -c 1048576 > $f; done', tree])
  const before = await inodes()
  const holds = spawn('python3', [script, other, removed, replaced], { stdio: ['pipe', 'pipe', 'inherit'] })
  t.teardown(() => void holds.kill('SIGKILL'))
  let said = ''
  holds.stdout.on('data', (bytes: Buffer) => (said += bytes.toString()))
  const hears = (text: RegExp) =>
    waitFor(() => text.test(said) || undefined, { what: `the other host to say ${text.source}`, limitMs: 20_000 })
  await hears(/open/)
  await mustRun('sh', ['-ec', 'cd "$0"; rm removed; echo new > over; mv over replaced; cat replaced', tree])
  t.equal(await inodes(), before + 2, 'nothing is gone yet: one made to rename, one that never had a name')
  const kept = async () => {
    const { stdout } = await mustRun('sh', ['-c', 'cat "$0"/log/s*.log', cluster.state])
    return stdout.split('\n').some((line) => line.includes('"open":3') && line.includes('orphans.kept')) || undefined
  }
  await waitFor(kept, { what: 'the servers to have asked who has them open', limitMs: 20_000 })
  holds.stdin.write('go on\n')
  await hears(/xxxx later\n/)
  const line = (first: string) => `0 1048581 ${first} later`
  t.same(said.trim().split('\n').slice(1), [line('yyyy'), line('yyyy'), line('xxxx')])
  t.equal(await inodes(), before + 2)
  holds.stdin.end('end\n')
  const gone = async () => ((await inodes()) === before - 1 ? true : undefined)
  await waitFor(gone, { what: 'the inodes to be given back', limitMs: 30_000 })
})

void t.test('df and du: holes take no room, a file of two names takes it once', async (t) => {
  const script = `cd "$0"; mkdir d; truncate -s 1T d/sparse; head -c 2000000 /dev/urandom > d/dense; cp d/dense d/copy; sync d/copy
    du -s --apparent-size -B1 d/sparse | cut -f1; du -s -B1 d/dense d/sparse | cut -f1; stat -f -c '%l %S' d; ln d/dense d/again; du -s -B1 d | cut -f1`
  const { stdout } = await mustRun('sh', ['-ec', script, cluster.tree])
  t.same(stdout.trim().split('\n'), [String(2 ** 40), '2002944', '0', '255 4096', String(2 * 2002944 + 4096)])
  const { stdout: df } = await mustRun('df', ['-B1', '--output=size,used,avail', cluster.tree])
  const [size = 0, used = 0, available = 0] = (df.split('\n')[1] ?? '').trim().split(/\s+/).map(Number)
  t.ok(used > 0 && available > 0 && used + available <= size, df)
})
